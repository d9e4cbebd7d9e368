"""Every format and pixel layout, all orientations, against pixels written down by hand."""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.images.decode import decode_bytes, decode_image
from fiqa_fast.types import UInt8Array


def encode(image: Image.Image, fmt: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, fmt, **options)
    return stream.getvalue()


LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}


@pytest.fixture
def rgb(rng: np.random.Generator) -> UInt8Array:
    return rng.integers(0, 256, (24, 40, 3), dtype=np.uint8)


@pytest.fixture
def smooth(rng: np.random.Generator) -> UInt8Array:
    """What a JPEG reproduces to within a few levels."""
    blocks = rng.integers(0, 256, (3, 5, 3), dtype=np.uint8)
    return cv2.resize(blocks, (80, 48), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("fmt", LOSSLESS)
def test_rgb_lossless(rgb: UInt8Array, fmt: str, tmp_path: Path) -> None:
    path = tmp_path / "image.misleading_suffix"
    path.write_bytes(encode(Image.fromarray(rgb), fmt, **LOSSLESS[fmt]))
    image = decode_image(path)
    np.testing.assert_array_equal(image.pixels, rgb)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert (image.path, image.note) == (str(path), "")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_rgb_jpeg(smooth: UInt8Array, options: dict[str, Any]) -> None:
    data = encode(Image.fromarray(smooth), "JPEG", quality=95, **options)
    image = decode_bytes(data)
    assert np.abs(image.pixels.astype(int) - np.asarray(Image.open(io.BytesIO(data)))).max() <= 1
    assert np.abs(image.pixels.astype(int) - smooth).mean() < 3
    assert image.note == ""


# R G      the image as it shall be shown: 4 colour patches on a 2 x 2 grid
# B W
PATCHES = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}
# EXIF 0x0112 says where the stored row 0 and column 0 belong (CIPA DC-008): 1 top left, 2 top
# right, 3 bottom right, 4 bottom left, 5 left top, 6 right top, 7 right bottom, 8 left bottom. So
# this is what has to be stored to be shown as R G / B W.
STORED = {
    1: ("RG", "BW"),
    2: ("GR", "WB"),
    3: ("WB", "GR"),
    4: ("BW", "RG"),
    5: ("RB", "GW"),
    6: ("GW", "RB"),
    7: ("WG", "BR"),
    8: ("BR", "WG"),
}


def patchwork(rows: tuple[str, str], height: int, width: int, dtype: Any = np.uint8) -> np.ndarray:
    grid = np.array([[PATCHES[letter] for letter in row] for row in rows], dtype)
    if dtype == np.uint16:
        grid *= 257
    return np.kron(grid, np.ones((height // 2, width // 2, 1), dtype))


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("fmt", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_orientation(fmt: str, options: dict[str, Any], mode: str, orientation: int) -> None:
    if (fmt, mode) == ("JPEG", "RGBA"):
        mode = "CMYK"  # a JPEG has no alpha, but this fourth channel
    shown_height, shown_width = 32, 64
    shown = patchwork(STORED[1], shown_height, shown_width)
    sides = (shown_height, shown_width) if orientation < 5 else (shown_width, shown_height)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(patchwork(STORED[orientation], *sides)).convert(mode)
    pixels = decode_bytes(encode(stored, fmt, exif=exif, **options)).pixels
    expected = np.asarray(Image.fromarray(shown).convert(mode).convert("RGB"))
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= 3


def tiff_16_bit(
    levels: np.ndarray, photometric: int, *, endian: str = "<", orientation: int = 1, extra: int = 2
) -> bytes:
    """An uncompressed TIFF, written by hand."""
    height, width = levels.shape[:2]
    samples = 1 if levels.ndim == 2 else levels.shape[2]
    pixels = levels.astype(f"{endian}u2").tobytes()
    directory_at = 8 + len(pixels)
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, samples, 16 if samples == 1 else None),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 8),
        (274, 3, 1, orientation),
        (277, 3, 1, samples),
        (278, 3, 1, height),
        (279, 4, 1, len(pixels)),
    ]
    if samples == 4:
        entries.append((338, 3, 1, extra))
    data = (b"II*\0" if endian == "<" else b"MM\0*") + struct.pack(f"{endian}I", directory_at)
    data += pixels + struct.pack(f"{endian}H", len(entries))
    bits_at = directory_at + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        if value is None:
            data += struct.pack(f"{endian}HHII", tag, kind, count, bits_at)
        elif kind == 3:
            data += struct.pack(f"{endian}HHIHH", tag, kind, count, value, 0)
        else:
            data += struct.pack(f"{endian}HHII", tag, kind, count, value)
    return data + struct.pack(f"{endian}I", 0) + struct.pack(f"{endian}{samples}H", *[16] * samples)


@pytest.mark.parametrize("orientation", STORED)
def test_orientation_of_16_bit(orientation: int) -> None:
    sides = (32, 64) if orientation < 5 else (64, 32)
    stored = patchwork(STORED[orientation], *sides, dtype=np.uint16)
    expected = patchwork(STORED[1], 32, 64)
    for endian in "<>":
        data = tiff_16_bit(stored, 2, endian=endian, orientation=orientation)
        np.testing.assert_array_equal(decode_bytes(data).pixels, expected)
    exif = struct.pack("<4sIHHHIHHI", b"II*\0", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    png = png_16_bit(stored, 2, before_pixels=png_chunk(b"eXIf", exif))
    np.testing.assert_array_equal(decode_bytes(png).pixels, expected)


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    checksum = zlib.crc32(kind + payload)
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", checksum)


def png_16_bit(levels: np.ndarray, colour_type: int, before_pixels: bytes = b"") -> bytes:
    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        + before_pixels
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def scaled(levels: np.ndarray) -> np.ndarray:
    return np.rint(levels / 257.0).astype(np.uint8)


ALL_LEVELS = np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize(
    "data",
    [
        png_16_bit(ALL_LEVELS, 0),
        tiff_16_bit(ALL_LEVELS, 1),
        tiff_16_bit(ALL_LEVELS, 1, endian=">"),
        tiff_16_bit(65535 - ALL_LEVELS, 0),
        tiff_16_bit(65535 - ALL_LEVELS, 0, endian=">"),
        encode(Image.fromarray(ALL_LEVELS), "TIFF", compression="tiff_lzw"),
    ],
    ids=["png", "tiff", "tiff-big-endian", "tiff-0-is-white", "tiff-be-0-is-white", "tiff-lzw"],
)
def test_16_bit_grey(data: bytes) -> None:
    image = decode_bytes(data)
    for channel in range(3):
        np.testing.assert_array_equal(image.pixels[..., channel], scaled(ALL_LEVELS))
    assert image.pixels[0, 0, 0] == 0
    assert image.pixels[-1, -1, 0] == 255
    assert image.note == "16-bit, grey"


def test_16_bit_colour(rng: np.random.Generator) -> None:
    levels = rng.integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    for data in (png_16_bit(levels, 2), tiff_16_bit(levels, 2), tiff_16_bit(levels, 2, endian=">")):
        image = decode_bytes(data)
        np.testing.assert_array_equal(image.pixels, scaled(levels))
        assert image.note == "16-bit"


def test_16_bit_alpha(rng: np.random.Generator) -> None:
    levels = rng.integers(0, 65536, (20, 30, 4)).astype(np.uint16)
    alpha = levels[..., 3:] / 65535.0
    expected = (levels[..., :3] * alpha + 65535.0 * (1.0 - alpha)) / 257.0
    for data in (png_16_bit(levels, 6), tiff_16_bit(levels, 2)):
        image = decode_bytes(data)
        assert np.abs(image.pixels - expected).max() <= 0.51
        assert image.note == "16-bit, transparency over white"


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF", "JPEG"])
def test_grey(rng: np.random.Generator, fmt: str) -> None:
    grey = cv2.resize(rng.integers(0, 256, (4, 5), dtype=np.uint8), (40, 24))
    image = decode_bytes(encode(Image.fromarray(grey), fmt))
    assert np.abs(image.pixels.astype(int) - grey[..., None]).max() <= (12 if fmt == "JPEG" else 0)
    np.testing.assert_array_equal(image.pixels[..., 0], image.pixels[..., 1])
    np.testing.assert_array_equal(image.pixels[..., 0], image.pixels[..., 2])
    assert image.note == "grey"


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "P"])
def test_one_bit_and_palette(rgb: UInt8Array, fmt: str, mode: str) -> None:
    source = Image.fromarray(rgb).convert(mode)
    image = decode_bytes(encode(source, fmt))
    np.testing.assert_array_equal(image.pixels, np.asarray(source.convert("RGB")))


def test_palette_of_few_bits(rgb: UInt8Array) -> None:
    source = Image.fromarray(rgb).quantize(4)
    image = decode_bytes(encode(source, "PNG", bits=2))
    np.testing.assert_array_equal(image.pixels, np.asarray(source.convert("RGB")))


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF"])
def test_alpha_goes_over_white(rgb: UInt8Array, rng: np.random.Generator, fmt: str) -> None:
    alpha = rng.integers(0, 256, rgb.shape[:2], dtype=np.uint8)
    alpha[:4], alpha[4:8] = 0, 255
    options = {"lossless": True, "exact": True} if fmt == "WEBP" else {}
    image = decode_bytes(encode(Image.fromarray(np.dstack([rgb, alpha])), fmt, **options))
    weight = alpha[..., None] / 255.0
    assert np.abs(image.pixels - (rgb * weight + 255.0 * (1.0 - weight))).max() <= 0.5
    np.testing.assert_array_equal(image.pixels[:4], 255)
    np.testing.assert_array_equal(image.pixels[4:8], rgb[4:8])
    assert image.note == "transparency over white"


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF"])
def test_opaque_alpha_changes_nothing(rgb: UInt8Array, fmt: str) -> None:
    source = Image.fromarray(rgb).convert("RGBA")
    image = decode_bytes(encode(source, fmt, **LOSSLESS[fmt]))
    np.testing.assert_array_equal(image.pixels, rgb)
    assert image.note == ""


def test_transparent_colours_of_png(rgb: UInt8Array) -> None:
    palette = Image.fromarray(rgb).quantize(8)
    data = encode(palette, "PNG", transparency=3)
    expected = np.asarray(palette.convert("RGB")).copy()
    expected[np.asarray(palette) == 3] = 255
    image = decode_bytes(data)
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.note == "transparency over white"

    keyed = rgb.copy()
    keyed[:2] = (1, 2, 3)
    image = decode_bytes(encode(Image.fromarray(keyed), "PNG", transparency=(1, 2, 3)))
    np.testing.assert_array_equal(image.pixels[:2], 255)


def test_grey_with_alpha(rng: np.random.Generator) -> None:
    grey_alpha = rng.integers(0, 256, (10, 12, 2), dtype=np.uint8)
    for fmt in ("PNG", "TIFF"):
        image = decode_bytes(encode(Image.fromarray(grey_alpha, "LA"), fmt))
        weight = grey_alpha[..., 1] / 255.0
        expected = grey_alpha[..., 0] * weight + 255.0 * (1.0 - weight)
        assert np.abs(image.pixels - expected[..., None]).max() <= 0.5
        assert image.note == "grey, transparency over white"


@pytest.mark.parametrize("fmt", ["JPEG", "TIFF"])
def test_cmyk(smooth: UInt8Array, fmt: str) -> None:
    source = Image.fromarray(smooth).convert("CMYK")
    data = encode(source, fmt, **({"quality": 98, "subsampling": 0} if fmt == "JPEG" else {}))
    image = decode_bytes(data)
    assert np.abs(image.pixels.astype(int) - smooth).mean() < 2
    np.testing.assert_array_equal(
        image.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    )
    assert image.note == "cmyk"


def test_cmyk_jpeg_without_the_adobe_marker_is_read_the_same_way(smooth: UInt8Array) -> None:
    data = encode(Image.fromarray(smooth).convert("CMYK"), "JPEG", quality=98)
    marker = data.index(b"\xff\xee")
    without = data[:marker] + data[marker + 16 :]
    assert b"Adobe" not in without
    np.testing.assert_array_equal(decode_bytes(without).pixels, decode_bytes(data).pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tiff(rgb: UInt8Array, compression: str) -> None:
    data = encode(Image.fromarray(rgb), "TIFF", compression=compression)
    np.testing.assert_array_equal(decode_bytes(data).pixels, rgb)


@pytest.mark.parametrize(
    ("fmt", "options"),
    [
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
    ],
)
def test_first_of_several_frames(rgb: UInt8Array, fmt: str, options: dict[str, Any]) -> None:
    others = [Image.fromarray(np.roll(rgb, shift, 1)) for shift in (5, 11)]
    data = encode(Image.fromarray(rgb), fmt, save_all=True, append_images=others, **options)
    image = decode_bytes(data)
    np.testing.assert_array_equal(image.pixels, rgb)
    assert image.note == "first of several frames"


def test_jpeg_with_a_second_picture_behind(smooth: UInt8Array) -> None:
    first = Image.fromarray(smooth)
    data = encode(first, "MPO", save_all=True, append_images=[first.rotate(180)], quality=95)
    assert np.abs(decode_bytes(data).pixels.astype(int) - smooth).mean() < 3


def test_damaged_exif_does_not_matter(smooth: UInt8Array, rng: np.random.Generator) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, "camera"
    data = encode(Image.fromarray(smooth), "JPEG", exif=exif)
    start = data.index(b"Exif\0\0") + 6
    expected = decode_bytes(data).pixels.shape
    for _ in range(50):
        damaged = bytearray(data)
        damaged[start : start + 20] = rng.bytes(20)
        assert sorted(decode_bytes(bytes(damaged)).pixels.shape) == sorted(expected)


def test_same_pixels_from_many_threads(smooth: UInt8Array, rgb: UInt8Array) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        encode(Image.fromarray(smooth), "JPEG", exif=exif),
        encode(Image.fromarray(smooth).convert("CMYK"), "JPEG"),
        *(encode(Image.fromarray(rgb), fmt, **options) for fmt, options in LOSSLESS.items()),
        encode(Image.fromarray(rgb).convert("RGBA"), "PNG"),
        png_16_bit(ALL_LEVELS, 0),
    ]
    alone = [decode_bytes(data).pixels for data in files]
    level = cv2.utils.logging.getLogLevel()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode_bytes, files * 20))
    for index, image in enumerate(together):
        np.testing.assert_array_equal(image.pixels, alone[index % len(files)])
    assert cv2.utils.logging.getLogLevel() == level


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_limit_must_be_positive(limit: float) -> None:
    with pytest.raises(InvalidArgumentError, match="expected max_megapixels > 0"):
        decode_bytes(b"anything", max_megapixels=limit)
