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


PUBLISHED = (
    "paper,table,data_set,method,verification_network,measure,fmr,limit,value,source\n"
    "A paper,Table II,LFW,FROQ,SFace,auc,0.001,0.2,0.0345,page 3\n"
)


def test_published_values_stand_beside_measured_ones(fiqa_fast_command, run_folder, tmp_path):
    run = run_folder("run", RESULT)
    values = tmp_path / "values.csv"
    values.write_text(PUBLISHED)

    code, _, _ = fiqa_fast_command(
        "report", run, "--published", values, "--files", tmp_path / "files"
    )

    assert code == 0
    page = (run / "report.html").read_text()
    assert 'id="papers"' in page
    assert page.count("0.0345") == 1
    assert "A paper, Table II" in page
    (table,) = [
        path for path in (tmp_path / "files").glob("papers*.csv") if "0.0345" in path.read_text()
    ]
    assert "published in A paper, Table II" in table.read_text()
    assert r"\textit{0.0345}" in table.with_suffix(".tex").read_text()


def test_several_files_of_published_values(fiqa_fast_command, run_folder, tmp_path):
    run = run_folder("run", RESULT)
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(PUBLISHED)
    second.write_text(PUBLISHED.replace("A paper", "Another").replace("0.0345", "0.0456"))

    code, _, _ = fiqa_fast_command("report", run, "--published", first, "--published", second)

    assert code == 0
    page = (run / "report.html").read_text()
    assert "0.0345" in page
    assert "0.0456" in page
    assert "Another, Table II" in page


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.0345", "3.45", "expected value to be a number from 0 to 0.2, as auc, got '3.45'"),
        ("auc", "area", "expected measure to be one of"),
        (",page 3", "", "as many fields as columns"),
    ],
)
def test_a_bad_line_of_published_values_is_named(
    fiqa_fast_command, run_folder, tmp_path, old, new, message
):
    run = run_folder("run", RESULT)
    values = tmp_path / "values.csv"
    values.write_text(PUBLISHED.replace(old, new))

    code, _, err = fiqa_fast_command("report", run, "--published", values)

    assert code == 2
    assert message in plain(err)
    assert "line 2 of" in plain(err)
    assert not (run / "report.html").exists()


def test_published_values_need_an_evaluation(fiqa_fast_command, run_folder, tmp_path):
    run = run_folder("run", None, ["one.jpg"])
    (tmp_path / "values.csv").write_text(PUBLISHED)

    code, _, err = fiqa_fast_command("report", run, "--published", tmp_path / "values.csv")

    assert code == 2
    assert "evaluation.json for --published" in plain(err)
    assert not (run / "report.html").exists()


def test_tables_of_several_data_sets_belong_to_one_run(fiqa_fast_command, run_folder, tmp_path):
    run = run_folder("run", RESULT)
    run_folder("run/lfw", None, ["one.jpg", "two.jpg"])
    run_folder("run/xqlfw", None, ["three.jpg", "four.jpg"])

    code, _, _ = fiqa_fast_command("report", run, "--files", tmp_path / "files")

    assert code == 0
    page = (run / "report.html").read_text()
    for name in ("one.jpg", "four.jpg"):
        assert name in page
    assert 'id="ranking"' in page
    assert "froq (" not in page  # one method of one run
    pictures = {path.name for path in (tmp_path / "files").glob("ranking-*")}
    assert pictures == {"ranking-run-lfw.png", "ranking-run-xqlfw.png"}
