"""Crops to measure something over: out of whatever files the user names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import track

from fiqa_fast.images.detect import YuNetDetector
from fiqa_fast.images.sources import find_images
from fiqa_fast.pipeline import FaceFinder
from fiqa_fast.types import FailedImage, UInt8Array


def find_crops(faces: Sequence[str], *, aligned: bool) -> Iterator[UInt8Array]:
    """The crops one after the other; says on standard error which images have none."""
    console = Console(stderr=True, markup=False)
    finder = FaceFinder(None if aligned else YuNetDetector())
    paths = list(find_images(faces))
    for path in track(paths, "faces", console=console, transient=True):
        found = finder.find(path)
        if isinstance(found, FailedImage):
            console.print(f"left out {path}: {found.message}", soft_wrap=True)
            continue
        yield from (face.crop for face in found)
