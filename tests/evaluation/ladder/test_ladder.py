from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.ladder.photographs import find_photographs
from fiqa_fast.evaluation.ladder.protocol import ladder_protocol
from fiqa_fast.evaluation.ladder.rungs import Rung, write_ladder
from fiqa_fast.evaluation.ladder.summary import summarise_ladder
from fiqa_fast.evaluation.protocols.base import Protocol


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of three people in folders, two of one of them."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    for name in ("ann/1.png", "ann/2.png", "bob/1.png", "cyd/1.png"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (112, 112, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def rungs(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Rung]:
    found = find_photographs(photos)
    names = {photograph.path: photograph.name for photograph in found}
    return write_ladder(names, tmp_path_factory.mktemp("ladder"), names)[0]


@pytest.fixture(scope="module")
def protocol(photos: Path, rungs: list[Rung]) -> Protocol:
    identity_of = {p.name: p.identity for p in find_photographs(photos)}
    return ladder_protocol(rungs, identity_of, Path("crops"), "ladder")


def test_photographs_of_folders_and_of_a_table(photos: Path, faces: Path) -> None:
    by_folder = [(p.name, p.identity) for p in find_photographs(photos)]
    assert by_folder == [
        ("ann--1", "ann"), ("ann--2", "ann"), ("bob--1", "bob"), ("cyd--1", "cyd"),
    ]  # fmt: skip
    by_table = {p.name: p.identity for p in find_photographs(faces)}
    assert by_table["person_a_1"] == by_table["person_a_2"] != by_table["person_b_1"]
    assert by_table["impostor_1"] != by_table["impostor_2"]


def test_every_crop_meets_the_clean_ones_of_other_photographs(
    protocol: Protocol, rungs: list[Rung]
) -> None:
    a, b = protocol.sample_a, protocol.sample_b
    photo = np.asarray([r.photo for r in rungs])
    clean = np.asarray([r.degradation == "clean" for r in rungs])

    assert clean[b].all()
    assert (photo[a] != photo[b]).all()
    # 4 photographs with 30 degraded crops against 3 clean ones, and the clean ones once each.
    assert len(a) == 4 * 30 * 3 + 6
    assert len({frozenset(pair) for pair in zip(a.tolist(), b.tolist(), strict=True)}) == len(a)
    same = np.asarray([p.startswith("ann") for p in photo])
    assert np.array_equal(protocol.mated, same[a] & same[b])
    assert protocol.mated.sum() == 2 * 30 + 1


def test_a_method_that_follows_the_levels(rungs: list[Rung]) -> None:
    level = np.asarray([float(r.level) for r in rungs])
    follows = MethodScores("follows", "", False, level)
    constant = MethodScores("constant", "", True, np.ones(len(rungs)))

    records = summarise_ladder(rungs, [follows, constant])

    assert len(records) == 2 * 6
    for record in records[:6]:
        assert record.levels == (0, 1, 2, 3, 4, 5)
        assert record.mean_rank == pytest.approx((1, 0.8, 0.6, 0.4, 0.2, 0))
        assert record.spearman == pytest.approx(-1)
    assert all(r.spearman == 0 for r in records[6:])


def test_photographs_with_a_gap_do_not_count(rungs: list[Rung]) -> None:
    level = np.asarray([float(r.level) for r in rungs])
    level[[r.photo == "ann--1" and r.level == 3 for r in rungs]] = np.nan
    only_ann = np.where([r.photo == "ann--1" for r in rungs], level, np.nan)

    assert summarise_ladder(rungs, [MethodScores("m", "", False, level)])[0].spearman == -1
    record = summarise_ladder(rungs, [MethodScores("m", "", False, only_ann)])[0]
    assert (record.levels, record.spearman) == ((), None)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "expected a folder with a sub-folder for each person"),
        (["a/1.png"], "of two or more people, one of them with two or more, got 1 of 1"),
        (["a/1.png", "b/1.png"], "got 2 of 2 people"),
        (["a/1.png", "a/1.jpg", "b/1.png"], "one photograph per name, got a--1 twice"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    with pytest.raises(InvalidArgumentError, match=message):
        find_photographs(tmp_path)


def test_a_table_that_forgets_a_photograph(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        (tmp_path / name).touch()
    (tmp_path / "identities.csv").write_text("file,identity\n1.png,a\n")

    with pytest.raises(InvalidArgumentError, match=r"none for 2\.png"):
        find_photographs(tmp_path)
    (tmp_path / "identities.csv").write_text("name,who\n1.png,a\n")
    with pytest.raises(InvalidArgumentError, match="with the columns file,identity"):
        find_photographs(tmp_path)
