from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fiqa_fast.evaluation.result import read_result


@pytest.fixture
def people(tmp_path: Path, golden_dir: Path) -> Path:
    """Three people as folders of aligned crops, two crops of one of them."""
    folder = tmp_path / "people"
    for person, crops in {"a": ["person_a_1", "person_a_2"], "b": ["person_b_1"]}.items():
        (folder / person).mkdir(parents=True)
        for crop in crops:
            shutil.copy(golden_dir / "crops" / f"{crop}.png", folder / person)
    (folder / "c").mkdir()
    shutil.copy(golden_dir / "crops" / "impostor_1.png", folder / "c")
    return folder


def test_curves_of_real_faces(fiqa_fast_command, people, tmp_path):
    out = tmp_path / "out"
    arguments = (
        "benchmark", "quality", people, "-o", out, "--scorer", "embedding-norm,froq",
        "--bootstrap", "5",
    )  # fmt: skip

    code, printed, _ = fiqa_fast_command(*arguments)

    assert code == 0
    assert "embedding-norm" in printed
    result = read_result(out / "evaluation.json")
    assert {c.method for c in result.curves} == {"embedding-norm", "froq"}
    (norm,) = (c for c in result.curves if c.method == "embedding-norm" and c.fmr == 0.1)
    assert norm.mated_count == 61
    assert norm.areas[-1].normalised is not None
    assert norm.areas[-1].normalised < 1  # better than random discarding
    assert "4 photographs of 3 people, each in 31 forms" in result.notes[0]
    assert {r.degradation for r in result.ladder} >= {"blur", "noise", "jpeg"}
    page = (out / "report.html").read_text()
    assert "data:image" in page  # the crops, as thumbnails
    assert fiqa_fast_command(*arguments)[0] == 1
    assert fiqa_fast_command(*arguments, "--resume")[0] == 0
    assert read_result(out / "evaluation.json").curves == result.curves


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "a folder with a sub-folder for each person"),
        (["people", "--max-photos", "1"], "--max-photos of at least"),
        (["people", "--resume", "--overwrite"], "got both"),
        (["people", "--scorer", "grafix"], "grafix"),
    ],
)
def test_what_cannot_be_measured(fiqa_fast_command, people, monkeypatch, arguments, message):
    monkeypatch.chdir(people.parent)

    code, _, err = fiqa_fast_command("benchmark", "quality", *arguments, "-o", "out")

    assert code == 2
    assert message in " ".join(err.split())


def test_fewer_photographs_are_whole_people(fiqa_fast_command, people, tmp_path):
    code, _, err = fiqa_fast_command(
        "benchmark", "quality", people, "-o", tmp_path / "out", "--scorer", "embedding-norm",
        "--bootstrap", "0", "--max-photos", "3",
    )  # fmt: skip

    assert code == 0
    assert "taking 3 of 4 photographs" in err
