from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import UInt8Array

DEGRADATIONS = ("blur", "noise", "downscale", "darkness", "occlusion", "jpeg")


@pytest.fixture
def crop() -> UInt8Array:
    """A smooth picture with some texture: uint8 [112, 112, 3]."""
    y, x = np.mgrid[:112, :112]
    channels = [128 + 100 * np.sin(x / a + y / b) for a, b in ((3, 17), (11, 5), (7, 4))]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def read(path: Path) -> UInt8Array:
    return np.asarray(cv2.imread(str(path))[..., ::-1], dtype=np.uint8)


def test_there_are_six_degradations_of_five_levels(degradation_ladder: Any) -> None:
    assert tuple(degradation_ladder.LEVELS) == DEGRADATIONS
    assert {len(levels) for levels in degradation_ladder.LEVELS.values()} == {5}


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_severity_grows_with_the_level(
    degradation_ladder: Any, crop: UInt8Array, degradation: str
) -> None:
    levels = [
        degradation_ladder.degrade(crop, degradation, level, photo="x") for level in range(1, 6)
    ]

    changes = [np.abs(level.astype(int) - crop).mean() for level in levels]
    assert changes[0] > 0
    assert (np.diff(changes) > 0).all()
    for level in levels:
        assert level.shape == (112, 112, 3)
        assert level.dtype == np.uint8


def test_the_crop_itself_is_not_touched(degradation_ladder: Any, crop: UInt8Array) -> None:
    before = crop.copy()
    for degradation in DEGRADATIONS:
        degradation_ladder.degrade(crop, degradation, 3, photo="x")

    np.testing.assert_array_equal(crop, before)


def test_noise_has_the_stated_strength_and_its_own_seed(degradation_ladder: Any) -> None:
    grey = np.full((112, 112, 3), 128, np.uint8)

    noise = degradation_ladder.degrade(grey, "noise", 3, photo="a").astype(float) - 128

    assert abs(noise.std() - 20) < 0.5  # 37632 draws: standard error 0.07
    assert abs(noise.mean()) < 0.5
    other_photo = degradation_ladder.degrade(grey, "noise", 3, photo="b")
    assert not np.array_equal(noise + 128, other_photo)
    quarter = degradation_ladder.degrade(grey, "noise", 1, photo="a").astype(float) - 128
    assert abs(np.corrcoef(noise.ravel(), quarter.ravel())[0, 1]) < 0.03


def test_noise_is_the_same_everywhere(degradation_ladder: Any) -> None:
    """First values of PCG64 seeded by crc32("person_a_1/noise/4") at sigma 40."""
    grey = np.full((112, 112, 3), 128, np.uint8)

    assert degradation_ladder.noise_seed("person_a_1", 4) == 1946323800
    noisy = degradation_ladder.degrade(grey, "noise", 4, photo="person_a_1")
    assert noisy.ravel()[:8].tolist() == [106, 150, 139, 146, 117, 144, 118, 174]


def test_recipes(degradation_ladder: Any, crop: UInt8Array) -> None:
    occluded = degradation_ladder.degrade(crop, "occlusion", 4, photo="x")
    np.testing.assert_array_equal(occluded[:56], crop[:56])
    assert not occluded[56:].any()

    dark = degradation_ladder.degrade(crop, "darkness", 4, photo="x")
    np.testing.assert_array_equal(dark, np.rint(0.15 * crop.astype(np.float64)))

    flat = np.full((112, 112, 3), (10, 120, 230), np.uint8)
    for degradation in ("blur", "downscale"):
        unchanged = degradation_ladder.degrade(flat, degradation, 5, photo="x")
        np.testing.assert_array_equal(unchanged, flat)
    # JPEG keeps a flat colour nearly, and channels in their places.
    assert (
        np.abs(degradation_ladder.degrade(flat, "jpeg", 1, photo="x") - flat.astype(int)).max() < 8
    )


@pytest.mark.parametrize(
    ("degradation", "level", "message"),
    [("fog", 1, "one of blur, noise"), ("blur", 0, "from 1 to 5"), ("blur", 6, "from 1 to 5")],
)
def test_what_is_not_on_the_ladder_is_refused(
    degradation_ladder: Any, crop: UInt8Array, degradation: str, level: int, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        degradation_ladder.degrade(crop, degradation, level, photo="x")


def test_real_photographs_give_the_same_bytes_on_each_run(
    degradation_ladder: Any, faces: Path, tmp_path: Path
) -> None:
    photos = [faces / "person_b_1.jpg", faces / "person_a_1.jpg"]
    for run, order in (("first", photos), ("second", photos[::-1])):
        rungs, left_out = degradation_ladder.write_ladder(order, tmp_path / run)
        assert left_out == []
        assert len(rungs) == 2 * 31
        (tmp_path / run / "ladder.csv").rename(tmp_path / f"{run}.csv")

    first = digests(tmp_path / "first")
    assert first == digests(tmp_path / "second")
    assert len(first) == 62
    assert read(tmp_path / "first" / "clean" / "person_a_1.png").shape == (112, 112, 3)


def test_ladder_csv_describes_every_file(
    degradation_ladder: Any, crop: UInt8Array, tmp_path: Path
) -> None:
    """And a 112x112 image is a crop already: no face has to be found in it."""
    (tmp_path / "in").mkdir()
    degradation_ladder.write_png(tmp_path / "in" / "stripes.png", crop)
    out = tmp_path / "out"

    assert degradation_ladder.main([str(tmp_path / "in"), str(out)]) == 0

    with (out / "ladder.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == set(digests(out)) - {"ladder.csv"}
    assert rows[0] == {
        "file": "clean/stripes.png",
        "photo": "stripes",
        "degradation": "clean",
        "level": "0",
        "parameter": "",
    }
    np.testing.assert_array_equal(read(out / rows[0]["file"]), crop)
    for row in rows[1:]:
        level = int(row["level"])
        assert float(row["parameter"]) == degradation_ladder.LEVELS[row["degradation"]][level - 1]
        expected = degradation_ladder.degrade(crop, row["degradation"], level, photo="stripes")
        np.testing.assert_array_equal(read(out / row["file"]), expected)


def test_photographs_without_a_face_are_named_and_left_out(
    degradation_ladder: Any, crop: UInt8Array, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    degradation_ladder.write_png(tmp_path / "in" / "crop.png", crop)
    degradation_ladder.write_png(tmp_path / "in" / "wall.png", np.full((200, 200, 3), 90, np.uint8))
    (tmp_path / "in" / "text.jpg").write_text("no image")

    assert degradation_ladder.main([str(tmp_path / "in"), str(tmp_path / "out")]) == 1

    printed = capsys.readouterr()
    assert "31 crops of 1 photographs" in printed.out
    assert "wall.png" in printed.err
    assert "text.jpg" in printed.err


def test_a_folder_is_listed_by_name_without_other_files(
    degradation_ladder: Any, tmp_path: Path
) -> None:
    for name in ("b.JPG", "a.png", "CREDITS.md"):
        (tmp_path / name).touch()

    assert [p.name for p in degradation_ladder.find_photos(tmp_path)] == ["a.png", "b.JPG"]


def test_unusable_folders_are_refused(degradation_ladder: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="got none"):
        degradation_ladder.find_photos(tmp_path)
    with pytest.raises(InvalidArgumentError, match="name one that exists"):
        degradation_ladder.find_photos(tmp_path / "nowhere")
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(InvalidArgumentError, match="rename one"):
        degradation_ladder.find_photos(tmp_path)
