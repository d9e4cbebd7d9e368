from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import pytest
from matplotlib._pylab_helpers import Gcf

from fiqa_fast.errors import ResultsError, UnavailableError
from fiqa_fast.evaluation.result import EvaluationResult
from fiqa_fast.report.paper_files import write_paper_files


def test_every_plot_and_table_has_its_files(make_evaluation: Any, tmp_path: Path) -> None:
    result = make_evaluation(methods=("a", "b$x$"), data_sets=("LFW",), fmrs=(0.001,))
    written = write_paper_files(result, tmp_path / "new" / "files")

    assert sorted(path.name for path in written) == sorted(
        path.name for path in (tmp_path / "new" / "files").iterdir()
    )
    names = {path.name for path in written}
    for stem in ("edc-lfw-fmr-0.001-fixed", "edc-lfw-fmr-0.001-anew-at-each-step", "det-lfw"):
        assert {f"{stem}.png", f"{stem}.svg", f"{stem}.pdf"} <= names
    tables = (
        "areas-steps-up-to-0.2-fixed",
        "error-rates",
        "templates",
        "runtimes",
        "ladder",
        "agreement-spearman-s-rho",
        "paired-tests",
        "comparisons",
    )
    for stem in tables:
        assert {f"{stem}.csv", f"{stem}.tex"} <= names

    by_name = {path.name: path for path in written}
    picture = cv2.imread(str(by_name["edc-lfw-fmr-0.001-fixed.png"]))
    assert picture is not None
    assert picture.std() > 5
    # Text is drawn as paths, with the words in comments; a name is not taken for a formula.
    edc = by_name["edc-lfw-fmr-0.001-fixed.svg"].read_text()
    assert all(f"<!-- {word} -->" in edc for word in ("a", "b$x$", "random discarding", "FNMR"))
    det = by_name["det-lfw.svg"].read_text()
    assert "<!-- 0.0001 -->" in det
    assert "mathdefault" not in det


def test_the_same_evaluation_gives_the_same_bytes(make_evaluation: Any, tmp_path: Path) -> None:
    result = make_evaluation(methods=("a",), data_sets=("LFW",), fmrs=(0.001,))

    first = write_paper_files(result, tmp_path / "first")
    second = write_paper_files(result, tmp_path / "second")

    assert [path.name for path in first] == [path.name for path in second]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_names_that_read_alike_get_files_of_their_own(make_evaluation: Any, tmp_path: Path) -> None:
    names = ("../L F W", ".. l/f/w", "x" * 300)
    result = make_evaluation(methods=("a",), data_sets=names, fmrs=(0.001,))
    result = EvaluationResult("t", error_rates=result.error_rates)

    written = write_paper_files(result, tmp_path)

    assert {path.stem for path in written if path.suffix == ".pdf"} == {
        "det-l-f-w",
        "det-l-f-w-2",
        "det-" + "x" * 96,
    }
    assert all(path.parent == tmp_path for path in written)


def settings_of_matplotlib() -> dict[str, Any]:
    # To read the backend is to choose one.
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}


def test_pyplot_and_the_settings_of_others_are_left_alone(
    make_evaluation: Any, tmp_path: Path
) -> None:
    before = settings_of_matplotlib()
    result = make_evaluation(methods=("a",), data_sets=("LFW",), fmrs=(0.001,))
    write_paper_files(EvaluationResult("t", error_rates=result.error_rates), tmp_path)

    assert settings_of_matplotlib() == before
    assert Gcf.get_all_fig_managers() == []


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError("No module named 'matplotlib'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnavailableError, match=r"fiqa-fast\[report\]"):
        write_paper_files(EvaluationResult("t"), tmp_path / "files")
    assert not (tmp_path / "files").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ResultsError, match="file/files"):
        write_paper_files(EvaluationResult("t"), tmp_path / "file" / "files")
