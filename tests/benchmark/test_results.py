import json
from dataclasses import replace

import pytest

from fiqa_fast.benchmark.measure import Spread
from fiqa_fast.benchmark.nvml import GpuState
from fiqa_fast.benchmark.results import (
    SCHEMA_VERSION,
    SkippedCase,
    read_result,
    write_result,
)
from fiqa_fast.errors import ResultsError


def test_a_file_gives_the_result_back(make_case, make_result, tmp_path):
    gpu = GpuState("Example GPU", "999.10", "13.0", 1410, 1980, 2600, 350.0, 80.0)
    bare = make_case(to_loop=None, latency=None, options={"k": 5}, scorer="faceqan")
    full = make_case(sm_clock_mhz=Spread(1410.0, None), energy_j=0.5, peak_memory_mib=812.0)
    result = make_result(bare, full, skipped=(SkippedCase(full.key, "no weights"),))
    result = replace(result, machine=replace(result.machine, gpu=gpu))
    write_result(result, tmp_path / "results.json")
    assert read_result(tmp_path / "results.json") == result
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_the_file_states_its_version(make_result, tmp_path):
    write_result(make_result(), tmp_path / "results.json")
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["schema_version"] == SCHEMA_VERSION == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected a JSON file"),
        ("no json", "expected a JSON file"),
        ("[]", "got None"),
        ('{"schema_version": 99}', "expected results with schema_version 1, got 99"),
        ('{"schema_version": 1}', "expected complete results"),
    ],
)
def test_files_that_are_no_results(tmp_path, text, message):
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ResultsError, match=message):
        read_result(path)


def test_a_damaged_case(make_case, make_result, tmp_path):
    path = tmp_path / "results.json"
    write_result(make_result(make_case()), path)
    content = json.loads(path.read_text())
    del content["cases"][0]["key"]["network"]
    path.write_text(json.dumps(content))
    with pytest.raises(ResultsError, match="expected complete results"):
        read_result(path)


def test_a_place_where_nothing_can_be_written(make_result, tmp_path):
    with pytest.raises(ResultsError, match="expected to be able to write"):
        write_result(make_result(), tmp_path / "missing" / "results.json")


def test_a_case_in_words(make_case):
    key = make_case(scorer="faceqan", output="score", options={"k": 5}).key
    assert str(key) == ("faceqan, k=5 on sface, float32, engine torch, batch 1, 2 threads, cpu")
    assert make_case().key.method == "grafiqs b2"


@pytest.mark.parametrize(("waited", "expected"), [(None, False), (0.01, False), (0.2, True)])
def test_a_disturbed_case(make_case, waited, expected):
    assert make_case(waited_fraction=waited).is_disturbed == expected
