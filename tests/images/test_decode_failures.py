"""Every way in which a file cannot be used has its reason; nothing reaches the console."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fiqa_fast.errors import ImageError
from fiqa_fast.images.decode import decode_bytes, decode_image
from fiqa_fast.types import FailureReason

FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {"quality": 90}),
    ("JPEG", {"quality": 90, "progressive": True}),
    ("PNG", {}),
    ("WEBP", {"quality": 90}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
]
IDS = ["jpeg", "jpeg-progressive", "png", "webp", "webp-lossless", "bmp", "tiff", "tiff-lzw"]


def photo_like(fmt: str, options: dict[str, Any], mode: str = "RGB") -> bytes:
    blocks = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    pixels = cv2.resize(blocks, (160, 120), interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[0x0112] = 1
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, fmt, exif=exif, **options)
    return stream.getvalue()


def reason_of(data: bytes, **options: Any) -> FailureReason:
    with pytest.raises(ImageError) as caught:
        decode_bytes(data, path="x.img", **options)
    assert "x.img" in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(("fmt", "options"), FORMATS, ids=IDS)
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 0.99])
def test_truncated_file_is_corrupt(fmt: str, options: dict[str, Any], fraction: float) -> None:
    data = photo_like(fmt, options)
    decode_bytes(data)
    assert reason_of(data[: int(len(data) * fraction)]) is FailureReason.CORRUPT_IMAGE


@pytest.mark.parametrize(("fmt", "options"), FORMATS[:5], ids=IDS[:5])
def test_last_bytes_missing_is_corrupt(fmt: str, options: dict[str, Any]) -> None:
    data = photo_like(fmt, options)
    for missing in (1, 2, 3, 10):
        assert reason_of(data[:-missing]) is FailureReason.CORRUPT_IMAGE


def test_truncated_jpeg_with_a_thumbnail_is_corrupt() -> None:
    thumbnail = photo_like("JPEG", {"quality": 30})
    payload = b"Exif\0\0" + b"II*\0" + struct.pack("<IHI", 8, 0, 0) + thumbnail
    data = photo_like("JPEG", {})
    segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    with_thumbnail = data[:2] + segment + data[2:]
    decode_bytes(with_thumbnail)
    decode_bytes(with_thumbnail + b"\0" * 100)
    assert reason_of(with_thumbnail[:-500]) is FailureReason.CORRUPT_IMAGE
    # cut right behind the thumbnail's end marker
    assert reason_of(with_thumbnail[: 2 + len(segment)]) is FailureReason.CORRUPT_IMAGE


@pytest.mark.parametrize(("fmt", "options"), FORMATS[:4], ids=IDS[:4])
def test_bytes_behind_the_image_are_no_damage(fmt: str, options: dict[str, Any]) -> None:
    data = photo_like(fmt, options)
    with_tail = decode_bytes(data + b"\x00\xff\x10 a film" * 100)
    np.testing.assert_array_equal(with_tail.pixels, decode_bytes(data).pixels)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_damaged_png_is_corrupt(mode: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(photo_like("PNG", {}, mode))
    data[len(data) // 2] ^= 0xFF
    assert reason_of(bytes(data)) is FailureReason.CORRUPT_IMAGE
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("fmt", "options"), FORMATS, ids=IDS)
def test_truncation_prints_nothing(
    fmt: str, options: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    data = photo_like(fmt, options)
    for fraction in (0.02, 0.3, 0.8):
        reason_of(data[: int(len(data) * fraction)])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "data",
    [b"hello, world", b"GIF89a" + bytes(40), b"\0" * 64, b"%PDF-1.7", b"\xff", b"P6 2 2 255"],
)
def test_other_content_is_no_image(data: bytes) -> None:
    assert reason_of(data) is FailureReason.NOT_AN_IMAGE


@pytest.mark.parametrize(
    "magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*"]
)
@pytest.mark.parametrize("length", [0, 3, 40, 500])
def test_magic_bytes_alone_are_corrupt(magic: bytes, length: int) -> None:
    noise = np.random.default_rng(length).bytes(length)
    assert reason_of(magic + noise) is FailureReason.CORRUPT_IMAGE


def test_random_damage_never_escapes_as_another_error(
    rng: np.random.Generator, capfd: pytest.CaptureFixture[str]
) -> None:
    for fmt, options in FORMATS:
        data = photo_like(fmt, options)
        for _ in range(40):
            damaged = bytearray(data)
            for position in rng.integers(0, min(len(data), 400), 3):
                damaged[position] = rng.integers(256)
            try:
                decode_bytes(bytes(damaged), max_megapixels=1)
            except ImageError:
                continue
    capfd.readouterr()  # libjpeg and libtiff may have written a warning of their own


@pytest.mark.parametrize("channels", [1, 3])
def test_floating_point_tiff_is_refused(channels: int) -> None:
    levels = np.ones((10, 12, channels), np.float32)
    data = cv2.imencode(".tiff", levels)[1].tobytes()
    with pytest.raises(ImageError, match="floating-point") as caught:
        decode_bytes(data)
    assert caught.value.reason is FailureReason.NOT_AN_IMAGE


def test_integers_of_32_bits_are_refused() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.ones((4, 4), np.int32)).save(stream, "TIFF")
    with pytest.raises(ImageError, match="32 bits") as caught:
        decode_bytes(stream.getvalue())
    assert caught.value.reason is FailureReason.NOT_AN_IMAGE


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(ImageError, match="empty") as caught:
        decode_image(path)
    assert caught.value.reason is FailureReason.EMPTY_FILE


@pytest.mark.parametrize("name", ["gone.jpg", "nul\0.jpg", "x" * 300 + ".jpg"])
def test_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(tmp_path / name)
    assert caught.value.reason is FailureReason.FILE_NOT_FOUND


def test_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError) as caught:
        decode_image(tmp_path / "file" / "x.jpg")
    assert caught.value.reason is FailureReason.FILE_NOT_FOUND


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"\xff\xd8\xff")

    def refuse(_: Path) -> bytes:  # root may read everything, so the refusal is played
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ImageError, match="Permission denied") as caught:
        decode_image(path)
    assert caught.value.reason is FailureReason.FILE_NOT_FOUND


def test_folder_and_pipe_are_no_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path, tmp_path / "pipe.jpg"):
        with pytest.raises(ImageError) as caught:
            decode_image(path)
        assert caught.value.reason is FailureReason.NOT_AN_IMAGE


def bomb_png(side: int) -> bytes:
    """A valid PNG of side x side black pixels, compressed piece by piece."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        checksum = zlib.crc32(kind + payload)
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", checksum)

    deflate = zlib.compressobj(1)
    row = bytes(1 + side // 8)
    pixels = b"".join(deflate.compress(row) for _ in range(side)) + deflate.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_too_large_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not_run(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", must_not_run)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", must_not_run)
    data = bomb_png(20_000)
    assert len(data) < 1_000_000
    with pytest.raises(ImageError, match="20000 x 20000 = 400") as caught:
        decode_bytes(data)
    assert caught.value.reason is FailureReason.IMAGE_TOO_LARGE


@pytest.mark.parametrize(("fmt", "options"), FORMATS, ids=IDS)
def test_limit_is_inclusive(fmt: str, options: dict[str, Any]) -> None:
    data = photo_like(fmt, options)
    decode_bytes(data, max_megapixels=160 * 120 / 1e6)
    assert reason_of(data, max_megapixels=160 * 119 / 1e6) is FailureReason.IMAGE_TOO_LARGE


def test_pillows_own_limit_plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode_bytes(photo_like("PNG", {})).pixels.shape == (120, 160, 3)
    assert decode_bytes(photo_like("JPEG", {})).pixels.shape == (120, 160, 3)
    # except where a plugin insists
    for fmt in ("TIFF", "WEBP"):
        assert reason_of(photo_like(fmt, {})) is FailureReason.IMAGE_TOO_LARGE


def test_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.bmp"
    with path.open("wb") as file:
        file.truncate(80 << 20)
    with pytest.raises(ImageError, match="holds more than") as caught:
        decode_image(path, max_megapixels=1)
    assert caught.value.reason is FailureReason.IMAGE_TOO_LARGE
