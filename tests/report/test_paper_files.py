from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
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
    edc_stems = ("edc-lfw-fmr-0.001-fixed", "edc-lfw-fmr-0.001-anew-at-each-step")
    for stem in (*edc_stems, "det-lfw", "labels-lfw-a-b-x"):
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
        "papers-grafiqs-tables-2-and-3-sface-area-by-trapezoids-up-to-0.95",
        "papers-cr-fiqa-templates-tar-at-far",
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


def test_long_names_have_files_too(make_evaluation: Any, tmp_path: Path) -> None:
    result = make_evaluation(methods=("m" * 400, "n" * 400), data_sets=("LFW",), fmrs=(0.001,))

    written = write_paper_files(EvaluationResult("t", label_changes=result.label_changes), tmp_path)

    assert [path.suffix for path in written] == [".png", ".svg", ".pdf"]


def test_each_table_of_scores_has_a_picture_of_strips(
    make_table: Any, scored: Any, tmp_path: Path
) -> None:
    colours = {"green.png": (0, 200, 0), "red.png": (0, 0, 200)}  # BGR
    for name, colour in colours.items():
        assert cv2.imwrite(str(tmp_path / name), np.full((112, 112, 3), colour, np.uint8))
    rows = [
        scored(str(tmp_path / name), float(number), scorer=scorer, output="score")
        for number, name in enumerate([*colours, "gone.png"])  # lower is better
        for scorer in ("faceqan", "m" * 200, "froq")
    ]
    tables = {
        "run/lfw": make_table(rows),
        "run/one": make_table(rows[:1]),  # a single face is no strip
    }

    first = write_paper_files(EvaluationResult("t"), tmp_path / "first", tables)
    (again,) = write_paper_files(EvaluationResult("t"), tmp_path / "second", tables)

    assert [path.name for path in first] == ["ranking-run-lfw.png"]
    assert first[0].read_bytes() == again.read_bytes()
    picture = cv2.imread(str(first[0]))
    assert picture is not None
    places = {}
    for name, colour in colours.items():
        faces = (np.abs(picture.astype(int) - colour).max(axis=2) < 20).astype(np.uint8)
        count, _, boxes, centres = cv2.connectedComponentsWithStats(faces)
        assert count == 1 + 3  # the rest of the picture, and a face for each method
        assert (boxes[1:, cv2.CC_STAT_WIDTH] > 100).all()
        assert np.ptp(centres[1:, 0]) < 2  # below one another
        places[name] = centres[1:, 0].mean()
    assert 0.4 * picture.shape[1] < places["red.png"] < places["green.png"]  # the best last


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
