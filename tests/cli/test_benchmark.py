import json

import pytest
import torch

from fiqa_fast.benchmark.results import read_result

SMALL = ("--device", "cpu", "--rounds", "1", "--quick")


def test_a_run_writes_json_and_markdown(fiqa_fast_command, tmp_path):
    out = tmp_path / "results.json"
    arguments = ("--scorer", "embedding-norm", "--threads", "1", "-o", out, "--markdown")
    code, markdown, err = fiqa_fast_command("benchmark", *SMALL, *arguments)
    assert code == 0
    result = read_result(out)
    assert [c.key.method for c in result.cases] == ["embedding-norm"]
    assert f"{result.cases[0].ours_ms.median:.2f}" in markdown
    assert "wrote" in err
    shown = fiqa_fast_command("benchmark", "--show", out)
    assert shown[:2] == (0, markdown)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--network", "resnet"], 2, "expected --network to be one of"),
        (["--scorer", "grafix"], 2, "got 'grafix'"),
        (["--scorer", "grafiqs.b9"], 2, "expected an output of grafiqs"),
        (["--scorer", "brisque"], 2, "expected --scorer to be one of"),
        (["--precision", "int3"], 2, "expected precision to be one of"),
        (["--batch-size", "0"], 2, "expected --batch-size >= 1"),
        (["--rounds", "0"], 2, "expected --rounds >= 1"),
        (["--device", "tpu"], 2, "expected auto, cpu, cuda"),
        (["--engine", "abacus"], 1, "expected engine to be one of"),
        (["--weights", "missing.pth"], 1, "missing.pth"),
        (["--weights", "a", "--network", "sface", "--network", "ir50"], 2, "one --network"),
        (["-o", "missing/results.json"], 2, "a folder that exists"),
        (["--show", "missing.json"], 1, "expected a JSON file"),
        (["--compare", "missing.json", "missing.json"], 1, "expected a JSON file"),
    ],
)
def test_errors(fiqa_fast_command, monkeypatch, tmp_path, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    scorer = () if "--scorer" in arguments else ("--scorer", "embedding-norm")
    found, _, err = fiqa_fast_command("benchmark", *SMALL[2:], *scorer, *arguments)
    assert (found, message in " ".join(err.split())) == (code, True), err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there(fiqa_fast_command):
    code, _, err = fiqa_fast_command("benchmark", "--device", "cuda")
    assert code == 1
    assert "expected one of the 0 CUDA devices" in err


@pytest.fixture
def two_results(fiqa_fast_command, tmp_path):
    """A result, and one in which everything takes 1.3 times as long as before."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    fiqa_fast_command("benchmark", *SMALL, "--scorer", "embedding-norm", "-o", old)
    content = json.loads(old.read_text())
    for case in content["cases"]:
        case["waited_fraction"] = None  # however busy this machine is
    old.write_text(json.dumps(content))
    for case in content["cases"]:
        for ratio in ("ratio_to_loop", "ratio_to_floor"):
            case[ratio]["median"] *= 1.3
    new.write_text(json.dumps(content))
    return old, new


def test_compare(fiqa_fast_command, two_results):
    old, new = two_results
    code, table, err = fiqa_fast_command("benchmark", "--compare", old, new)
    assert code == 1
    assert "| 1.300 | 1.300 | slower |" in table
    assert "1 cases, 1 slower or gone" in err
    assert fiqa_fast_command("benchmark", "--compare", new, old)[0] == 0
    assert fiqa_fast_command("benchmark", "--compare", old, new, "--tolerance", "0.4")[0] == 0
    code, _, err = fiqa_fast_command("benchmark", "--compare", old, new, "--tolerance", "0")
    assert code == 2
    assert "--tolerance > 0" in err
