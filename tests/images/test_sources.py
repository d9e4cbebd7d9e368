from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from fiqa_fast.images.sources import find_images


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.JPG",
        "a.png",
        "notes.md",
        "sub/c.webp",
        "sub/deeper/d.tiff",
        "sub.jpeg",
        "zoo/e.bmp",
        "zoo/f.jpe",
        "zoo/g.tif",
        "raw.dat",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(paths: object, root: Path) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in paths]  # type: ignore[attr-defined]


def test_folder_is_searched_in_the_order_of_sorted_paths(tree: Path) -> None:
    found = names(find_images([str(tree)]), tree)
    assert found == [
        "a.png",
        "b.JPG",
        "sub/c.webp",
        "sub/deeper/d.tiff",
        "sub.jpeg",
        "zoo/e.bmp",
        "zoo/f.jpe",
        "zoo/g.tif",
    ]
    images = [p for p in sorted(tree.rglob("*")) if p.is_file() and p.suffix not in (".md", ".dat")]
    assert found == names(images, tree)


def test_single_file_is_taken_whatever_its_suffix(tree: Path) -> None:
    assert list(find_images([str(tree / "notes.md")])) == [str(tree / "notes.md")]


def test_missing_path_is_yielded_as_it_is(tmp_path: Path) -> None:
    missing = [str(tmp_path / "gone.jpg"), str(tmp_path / "gone.txt"), "nul\0byte.png"]
    assert list(find_images(missing)) == missing


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png"]),
        ("**/*.ti*", ["sub/deeper/d.tiff", "zoo/g.tif"]),
        ("*.dat", ["raw.dat"]),
        ("*", ["a.png", "b.JPG", "sub.jpeg"]),
        ("zoo/[ef].*", ["zoo/e.bmp", "zoo/f.jpe"]),
        ("*.gif", []),
    ],
)
def test_patterns(tree: Path, pattern: str, expected: list[str]) -> None:
    assert names(find_images([str(tree / pattern)]), tree) == expected


def test_literal_name_beats_the_pattern(tmp_path: Path) -> None:
    for name in ("img[1].png", "img1.png"):
        (tmp_path / name).touch()
    assert names(find_images([str(tmp_path / "img[1].png")]), tmp_path) == ["img[1].png"]


def test_folder_without_images_yields_nothing(tmp_path: Path) -> None:
    assert list(find_images([str(tmp_path)])) == []


@pytest.mark.parametrize("suffix", [".txt", ".lst", ".TXT"])
def test_list_file_is_relative_to_itself(tmp_path: Path, suffix: str) -> None:
    listing = tmp_path / "lists" / f"faces{suffix}"
    listing.parent.mkdir()
    absolute = tmp_path / "elsewhere.png"
    listing.write_text(
        f"\ufeffone.jpg\n\n# a comment\n  sub/two.jpg  \r\n{absolute}\nmissing.xyz\n"
    )
    assert list(find_images([str(listing)])) == [
        str(listing.parent / "one.jpg"),
        str(listing.parent / "sub/two.jpg"),
        str(absolute),
        str(listing.parent / "missing.xyz"),
    ]


def test_names_that_are_not_utf8_survive_a_list(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / "faces.txt").write_bytes(b"caf\xe9.jpg\n")
    assert list(find_images([str(tmp_path / "faces.txt")])) == [str(tmp_path / name)]


def test_standard_input() -> None:
    stdin = io.StringIO("a.jpg\n\n b.png \n")
    assert list(find_images(["-"], stdin)) == ["a.jpg", "b.png"]


def test_standard_input_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x.jpg\n"))
    assert list(find_images(["-"])) == ["x.jpg"]


def test_duplicates_are_removed_and_the_first_is_kept(tree: Path) -> None:
    a = str(tree / "a.png")
    again = f"{tree}/sub/../a.png"
    assert names(find_images([a, str(tree), again]), tree)[:2] == ["a.png", "b.JPG"]
    assert list(find_images([a, again, a])) == [a]


def test_linked_folders_below_are_not_entered(tree: Path) -> None:
    (tree / "zoo" / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "zoo" / "album.jpg").symlink_to(tree / "sub", target_is_directory=True)
    (tree / "zoo" / "link.jpg").symlink_to(tree / "b.JPG")
    found = names(find_images([str(tree / "zoo")]), tree)
    assert found == ["zoo/e.bmp", "zoo/f.jpe", "zoo/g.tif", "zoo/link.jpg"]


def test_is_lazy(tree: Path) -> None:
    paths = find_images([str(tree), "-"], stdin=None)
    assert Path(next(paths)).name == "a.png"
