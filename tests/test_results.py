import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fiqa_fast.errors import ResultsError
from fiqa_fast.results import SCHEMA, ResultsWriter, ScoreRow, read_csv, to_table
from fiqa_fast.types import QualityScore

SETTINGS = {"seed": 0, "scorers": {"grafiqs": {"output": "b2"}}}


def make_row(path="a.jpg", raw_score=0.5, quality=61.25, **changes):
    score = QualityScore(
        scorer="grafiqs",
        output="b2",
        raw_score=raw_score,
        higher_is_better=False,
        quality=quality,
        quality_reason="" if quality is not None else "no score",
        backbone="sface",
        weights_sha256="ab" * 32,
        bn_statistics="training",
        variant="official",
        parameters='{"T": 100, "scaling": 8}',
        precision="float32",
        device="cpu",
        engine="torch",
        seed=None,
        version="1",
    )
    failed = raw_score is None
    fields = {
        "path": path,
        "face_index": None if failed else 0,
        "box": None if failed else (1.0, 2.0, 30.5, 40.125),
        "landmarks": None if failed else tuple(float(i) for i in range(10)),
        "status": "failed" if failed else "ok",
        "reason": "no_face" if failed else "",
        "note": "",
        "score": score,
        "elapsed_ms": None if failed else 12.5,
    }
    return ScoreRow(**(fields | changes))


def test_csv_and_parquet_hold_the_same_rows(tmp_path):
    rows = [
        make_row('with "quotes", commas\nand lines.jpg', note="alpha over white; resized"),
        make_row("nothing.png", raw_score=None, quality=None),
        make_row("tiny.png", raw_score=1.2345678901234567e-300),
    ]
    with ResultsWriter(tmp_path, SETTINGS) as writer:
        for row in rows:
            writer.write_image([row])
    table = pq.read_table(tmp_path / "scores.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == to_table(rows).to_pylist()
    assert list(read_csv(tmp_path / "scores.csv")) == [
        {
            **r,
            "box": r["box"] and list(r["box"]),
            "landmarks": r["landmarks"] and list(r["landmarks"]),
        }
        for r in (row.record() for row in rows)
    ]
    with (tmp_path / "scores.csv").open(newline="") as file:
        assert next(csv.reader(file)) == SCHEMA.names


def test_columns_are_those_that_users_rely_on():
    assert " ".join(SCHEMA.names) == (
        "path face_index box landmarks status reason note scorer output raw_score higher_is_better"
        " quality quality_reason backbone weights_sha256 bn_statistics variant parameters"
        " precision device engine seed version elapsed_ms"
    )


def interrupt_run(folder, paths):
    """Writes two rows for each path, then fails."""
    with pytest.raises(RuntimeError), ResultsWriter(folder, SETTINGS) as writer:  # noqa: PT012
        for path in paths:
            writer.write_image([make_row(path), make_row(path)])
        raise RuntimeError("power cut")


def test_rows_are_on_disk_before_the_run_ends(tmp_path):
    with ResultsWriter(tmp_path, SETTINGS) as writer:
        writer.write_image([make_row()])
        assert len(list(read_csv(tmp_path / "scores.csv"))) == 1


def test_an_exception_keeps_the_rows_but_writes_no_parquet(tmp_path):
    interrupt_run(tmp_path, ["a"])
    assert not (tmp_path / "scores.parquet").exists()
    assert len(list(read_csv(tmp_path / "scores.csv"))) == 2


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_resume_after_a_cut_in_the_middle_of_a_line(tmp_path, cut):
    interrupt_run(tmp_path, ["a", "b", "c"])
    text = (tmp_path / "scores.csv").read_bytes()
    (tmp_path / "scores.csv").write_bytes(text[:-cut])

    with ResultsWriter(tmp_path, SETTINGS, "resume") as writer:
        assert writer.finished_paths == {"a", "b"}
        writer.write_image([make_row("c"), make_row("c")])
    table = pq.read_table(tmp_path / "scores.parquet")
    assert table["path"].to_pylist() == ["a", "a", "b", "b", "c", "c"]


def test_a_killed_process_loses_nothing_that_it_wrote(tmp_path):
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from test_results import SETTINGS, make_row\n"
        "from fiqa_fast.results import ResultsWriter\n"
        "writer = ResultsWriter(Path(sys.argv[1]), SETTINGS).__enter__()\n"
        "for i in range(50): writer.write_image([make_row(f'{i}.jpg')])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    folder = str(Path(__file__).parent)
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path), folder], check=False)
    assert result.returncode == -9
    with ResultsWriter(tmp_path, SETTINGS, "resume") as writer:
        assert writer.finished_paths == {f"{i}.jpg" for i in range(49)}


def test_a_folder_with_results_is_not_overwritten_unasked(tmp_path):
    with ResultsWriter(tmp_path, SETTINGS) as writer:
        writer.write_image([make_row()])
    with pytest.raises(ResultsError, match=r"--resume, --overwrite"):
        ResultsWriter(tmp_path, SETTINGS).__enter__()
    with ResultsWriter(tmp_path, SETTINGS, "overwrite"):
        pass
    assert pq.read_table(tmp_path / "scores.parquet").num_rows == 0


def test_resume_needs_the_same_settings(tmp_path):
    with pytest.raises(ResultsError, match="expected an interrupted run to resume"):
        ResultsWriter(tmp_path, SETTINGS, "resume").__enter__()
    interrupt_run(tmp_path, ["a"])
    with pytest.raises(ResultsError, match=r"got others for seed; use the same"):
        ResultsWriter(tmp_path, {**SETTINGS, "seed": 1}, "resume").__enter__()
    assert json.loads((tmp_path / "run.json").read_text()) == SETTINGS


def test_a_run_with_other_columns_is_not_resumed(tmp_path):
    interrupt_run(tmp_path, ["a", "b"])
    path = tmp_path / "scores.csv"
    path.write_text(path.read_text().replace("bn_statistics,", "", 1))
    before = path.read_bytes()
    with pytest.raises(ResultsError, match=r"expected the columns of fiqa_fast .*--overwrite"):
        ResultsWriter(tmp_path, SETTINGS, "resume").__enter__()
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="choose another folder"):
        ResultsWriter(tmp_path / "file" / "out", SETTINGS).__enter__()


def test_a_closed_writer_refuses_rows(tmp_path):
    with ResultsWriter(tmp_path, SETTINGS) as writer:
        pass
    with pytest.raises(ResultsError, match="got a closed one"):
        writer.write_image([make_row()])


def test_names_that_are_not_utf8_are_escaped():
    table = to_table([make_row("caf\udce9.jpg")])
    assert table["path"].to_pylist() == ["caf\\xe9.jpg"]
    assert isinstance(table, pa.Table)


def test_a_full_disk_is_told_and_keeps_the_rows(tmp_path):
    """RLIMIT_FSIZE stands for the disk: writing behind it fails as on a full one."""
    code = (
        "import resource, signal, sys; from pathlib import Path;"
        "sys.path.insert(0, sys.argv[2]); from test_results import *;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    with ResultsWriter(Path(sys.argv[1]), SETTINGS) as writer:\n"
        "        for i in range(100): writer.write_image([make_row(f'{i}.jpg')])\n"
        "except ResultsError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "the rows so far are kept: make space, then continue with --resume" in told
    with ResultsWriter(tmp_path, SETTINGS, "resume") as writer:
        assert "0.jpg" in writer.finished_paths
