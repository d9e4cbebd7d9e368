import io
import struct
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fiqa_fast.training.data.base import TrainingSet

MAGIC = b"\x0a\x23\xd7\xce"


def _jpeg(number: int, size: tuple[int, int] = (112, 112)) -> bytes:
    """A different smooth image for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (7, 7, 3), np.uint8)
    pixels = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def _pack(label, number: int, image: bytes) -> bytes:
    """An image record as im2rec packs it: one label in the header, or several behind it."""
    if isinstance(label, (int, float)):
        return struct.pack("<IfQQ", 0, label, number, 0) + image
    header = struct.pack("<IfQQ", len(label), 0.0, number, 0)
    return header + np.asarray(label, "<f4").tobytes() + image


def _frame(content: bytes) -> bytes:
    """Cuts content wherever the magic number stands at a multiple of 4 bytes."""
    cuts = [i for i in range(0, len(content) - 3, 4) if content[i : i + 4] == MAGIC]
    starts = [0, *(cut + 4 for cut in cuts)]
    parts = [content[s:e] for s, e in zip(starts, [*cuts, len(content)], strict=True)]
    framed = b""
    for i, part in enumerate(parts):
        kind = 0 if len(parts) == 1 else 1 if i == 0 else 3 if i == len(parts) - 1 else 2
        framed += MAGIC + struct.pack("<I", kind << 29 | len(part)) + part
        framed += bytes(-len(part) % 4)
    return framed


def _write_rec(folder: Path, entries, *, header: bool = True, stem: str = "train"):
    """entries: (label, image). As InsightFace: images from key 1 on, identities, record 0."""
    folder.mkdir(parents=True, exist_ok=True)
    items = [(i, label, image) for i, (label, image) in enumerate(entries, start=1)]
    if header:
        identities = sorted({int(np.ravel(label)[0]) for label, _ in entries})
        end = len(entries) + 1
        items += [(end + i, [1.0, 2.0], b"") for i in range(len(identities))]
        items.append((0, [float(end), float(end + len(identities))], b""))
    offsets, content = {}, b""
    for key, label, image in items:
        offsets[key] = len(content)
        content += _frame(_pack(label, key, image))
    (folder / f"{stem}.rec").write_bytes(content)
    lines = "".join(f"{key}\t{offset}\n" for key, offset in sorted(offsets.items()))
    (folder / f"{stem}.idx").write_text(lines)
    return offsets


def _write_tar(path: Path, members) -> None:
    """members: (name, content)."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="session")
def jpeg():
    return _jpeg


@pytest.fixture(scope="session")
def write_rec():
    return _write_rec


@pytest.fixture(scope="session")
def write_tar():
    return _write_tar


@pytest.fixture(scope="session")
def frame():
    return _frame


@pytest.fixture(scope="session")
def pack():
    return _pack


@pytest.fixture
def memory_set(jpeg):
    """A training set in memory: images by number, or the given bytes."""

    def make(identity, *, images=None, samples=None, identity_names=None) -> TrainingSet:
        identity = np.asarray(identity, np.int32)
        found = images or [jpeg(i) for i in range(len(identity))]
        highest = int(identity.max(initial=-1))
        return TrainingSet(
            name="faces",
            samples=samples or tuple(f"{i:03d}.jpg" for i in range(len(identity))),
            identity=identity,
            identity_names=identity_names or tuple(f"person {i}" for i in range(highest + 1)),
            read=found.__getitem__,
        )

    return make
