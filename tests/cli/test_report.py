from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fiqa_fast.evaluation.result import (
    Area,
    CurveRecord,
    EvaluationResult,
    RuntimeRecord,
    write_result,
)
from fiqa_fast.results import SCHEMA

CURVE = CurveRecord(
    data_set="LFW",
    method="froq",
    quality_network="sface",
    verification_network="sface",
    error="fnmr",
    threshold_policy="fixed",
    pair_quality="min",
    fmr=0.001,
    decision_threshold=0.4,
    mated_count=10,
    non_mated_count=20,
    discard_fraction=(0.0, 0.4, 1.0),
    error_rate=(0.2, 0.1, 0.0),
    areas=(Area("step", 0.2, 0.04, 1.0),),
)
RESULT = EvaluationResult("Froq on LFW", {"seed": "7"}, ("small",), curves=(CURVE,))


@pytest.fixture
def run_folder(tmp_path):
    """Makes a folder with an evaluation, a table of scores, or both."""

    def make(name, result=None, paths=()):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        if result is not None:
            write_result(result, folder / "evaluation.json")
        if paths:
            rows = [
                {
                    "path": path,
                    "face_index": 0,
                    "status": "ok",
                    "scorer": "froq",
                    "output": "score",
                    "raw_score": 1.0,
                    "higher_is_better": True,
                    "backbone": "sface",
                }
                for path in paths
            ]
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "scores.parquet")
        return folder

    return make


def plain(err):
    return " ".join(err.split())


def test_a_run_has_its_own_page(fiqa_fast_command, run_folder):
    run = run_folder("run", RESULT)

    code, out, _ = fiqa_fast_command("report", run)

    assert code == 0
    assert "report.html" in out
    page = (run / "report.html").read_text()
    assert "<h1>Froq on LFW</h1>" in page
    assert 'id="edc"' in page
    assert 'id="faces"' not in page


def test_a_run_with_both_files_shows_both(fiqa_fast_command, run_folder, tmp_path):
    run = run_folder("run", RESULT, ["one.jpg"])

    code, _, _ = fiqa_fast_command("report", run, "-o", tmp_path / "page.html", "--title", "Mine")

    assert code == 0
    page = (tmp_path / "page.html").read_text()
    assert "<h1>Mine</h1>" in page
    assert 'id="edc"' in page
    assert "one.jpg" in page
    assert not (run / "report.html").exists()


def test_several_runs_become_one_page(fiqa_fast_command, run_folder, tmp_path):
    other = EvaluationResult("Other", curves=(replace(CURVE, error_rate=(0.2, 0.2, 0.0)),))
    runs = [
        run_folder("a/out", RESULT),
        run_folder("b/out", other),
        run_folder("c", None, ["one.jpg"]),
        run_folder("d", None, ["two.jpg"]),
    ]

    code, _, _ = fiqa_fast_command("report", *runs, "-o", tmp_path / "all.html")

    assert code == 0
    page = (tmp_path / "all.html").read_text()
    for name in ("froq (a/out)", "froq (b/out)", "froq (c)", "froq (d)", "one.jpg", "two.jpg"):
        assert name in page
    assert "<h1>Face image quality</h1>" in page


def test_tables_of_scores_alone_can_be_merged(fiqa_fast_command, run_folder, tmp_path):
    runs = [run_folder("c", None, ["one.jpg"]), run_folder("d", None, ["two.jpg"])]

    assert fiqa_fast_command("report", *runs, "-o", tmp_path / "all.html")[0] == 0
    page = (tmp_path / "all.html").read_text()
    assert "froq (c)" in page
    assert "froq (d)" in page


def test_several_runs_need_a_destination(fiqa_fast_command, run_folder):
    runs = [run_folder("a", RESULT), run_folder("b", RESULT)]

    code, _, err = fiqa_fast_command("report", *runs)

    assert code == 2
    assert "expected -o with 2 runs" in plain(err)


def test_a_run_given_twice_is_refused(fiqa_fast_command, run_folder, tmp_path):
    run = run_folder("a", RESULT)

    code, _, err = fiqa_fast_command("report", run, f"{run}/", "-o", tmp_path / "r.html")

    assert code == 2
    assert "each run once" in plain(err)


def test_a_folder_without_either_file_is_refused(fiqa_fast_command, run_folder):
    code, _, err = fiqa_fast_command("report", run_folder("empty"))

    assert code == 1
    assert "expected evaluation.json or scores.parquet" in plain(err)
    assert "fiqa-fast evaluate" in plain(err)


def test_a_damaged_evaluation_is_refused(fiqa_fast_command, run_folder):
    run = run_folder("run", RESULT)
    (run / "evaluation.json").write_text("{")

    code, _, err = fiqa_fast_command("report", run)

    assert code == 1
    assert "expected the evaluation.json" in plain(err)


def test_files_for_papers(fiqa_fast_command, run_folder, tmp_path):
    result = replace(
        RESULT, runtimes=(RuntimeRecord("froq", "sface", 2.0, "cpu", "float32", "torch"),)
    )
    run = run_folder("run", result)

    code, out, _ = fiqa_fast_command("report", run, "--files", tmp_path / "files")

    assert code == 0
    names = {path.name for path in (tmp_path / "files").iterdir()}
    assert {"edc-lfw-fmr-0.001.pdf", "areas.tex", "runtimes.csv"} <= names
    assert f"wrote {len(names)} files" in plain(out)


def test_files_need_an_evaluation(fiqa_fast_command, run_folder, tmp_path):
    run = run_folder("run", None, ["one.jpg"])

    code, _, err = fiqa_fast_command("report", run, "--files", tmp_path / "files")

    assert code == 2
    assert "evaluation.json for --files" in plain(err)
    assert not (run / "report.html").exists()
