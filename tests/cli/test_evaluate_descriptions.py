"""`fiqa-fast evaluate --classifiability --compare-labels`, without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fiqa_fast.evaluation.result import read_result

FAST = ("--bootstrap", "0", "--threshold-policy", "fixed", "--fmr", "0.1")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder of five people with four files each, their embeddings, and two sets of labels."""
    rng = np.random.default_rng(0)
    names, rows = [], []
    for person in range(5):
        centre = rng.normal(size=16)
        folder = tmp_path / "people" / f"p{person}"
        folder.mkdir(parents=True)
        for number in range(4):
            (folder / f"{number}.png").write_bytes(b"never read")
            names.append(f"p{person}/{number}.png")
            rows.append(centre + rng.normal(size=16))
    np.savez(tmp_path / "net.npz", names=names, embeddings=np.array(rows, np.float32))
    labels = rng.random(20)
    lines = [f"{name},{a:.6f},{b:.6f}" for name, a, b in zip(names, labels, labels**2, strict=True)]
    lines[3] = f"{names[3]},0.999,0"
    (tmp_path / "scores.csv").write_text("\n".join(["sample,old,new", *lines]) + "\n")
    return tmp_path


def arguments(people: Path, *more: object) -> tuple[object, ...]:
    return (
        "evaluate", people / "people", "--scores", people / "scores.csv",
        "--embeddings", people / "net.npz", "-o", people / "out", *FAST, *more,
    )  # fmt: skip


def test_both_stand_in_the_result_and_on_the_page(fiqa_fast_command, people):
    code, _, err = fiqa_fast_command(
        *arguments(people, "--classifiability", "--compare-labels", "old, new")
    )

    assert code == 0, err
    result = read_result(people / "out" / "evaluation.json")
    methods = ["old", "new", "CCS (net)", "NNCCS (net)", "CR (net)"]
    assert [d.method for d in result.distributions] == methods
    assert result.agreements[0].methods == ("old", "new", "CR (net)")
    (change,) = result.label_changes
    assert (change.before, change.after, change.count) == ("old", "new", 20)
    assert change.moved_fraction > 0
    page = (people / "out" / "report.html").read_text()
    assert 'id="label-changes"' in page
    assert "NNCCS (net)" in page


def test_nothing_is_added_unasked(fiqa_fast_command, people):
    assert fiqa_fast_command(*arguments(people))[0] == 0

    result = read_result(people / "out" / "evaluation.json")
    assert [d.method for d in result.distributions] == ["old", "new"]
    assert result.label_changes == ()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--compare-labels", "old,other"), "got 'other'"),
        (("--compare-labels", "old"), "BEFORE,AFTER"),
        (("--compare-labels", "old,new,more"), "BEFORE,AFTER"),
    ],
)
def test_wrong_pairs_of_labels(fiqa_fast_command, people, more, words):
    code, _, err = fiqa_fast_command(*arguments(people, *more))

    assert code != 0
    assert words in " ".join(err.split())


def test_a_data_set_without_identities_has_no_class_centres(fiqa_fast_command, people):
    (people / "pairs.csv").write_text("sample_a,sample_b,mated\np0/0.png,p0/1.png,1\n")

    code, _, err = fiqa_fast_command(
        "evaluate", people / "pairs.csv", "--data", people / "people",
        "--scores", people / "scores.csv", "--classifiability", "-o", people / "out",
    )  # fmt: skip

    assert code != 0
    assert "names the person of each sample" in " ".join(err.split())
    assert not (people / "out").exists()
