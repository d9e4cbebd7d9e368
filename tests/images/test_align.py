from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fiqa_fast import _extension
from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.images.align import (
    ARCFACE_TEMPLATE,
    align_crop,
    align_crop_reference,
    align_faces,
    resize_crop,
    similarity_transform,
)
from fiqa_fast.images.decode import decode_image
from fiqa_fast.types import DetectedFace, FaceImage, FailureReason, Float64Array, UInt8Array

native_only = pytest.mark.skipif(not _extension.is_available(), reason="needs the extension")


def bilinear_float64(pixels: UInt8Array, matrix: Float64Array, size: int = 112) -> Float64Array:
    """The definition: bilinear in float64, every tap outside the photograph is 0."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    y, x = np.mgrid[:size, :size]
    u, v, _ = np.tensordot(inverse, np.stack([x, y, np.ones_like(x)]).astype(float), 1)
    height, width = pixels.shape[:2]
    left, top = np.floor(u), np.floor(v)
    total = np.zeros((size, size, 3))
    for dv in (0, 1):
        for du in (0, 1):
            weight = (1 - np.abs(u - left - du)) * (1 - np.abs(v - top - dv))
            inside = (left + du >= 0) & (left + du < width) & (top + dv >= 0) & (top + dv < height)
            columns = np.where(inside, left + du, 0).astype(int)
            rows = np.where(inside, top + dv, 0).astype(int)
            total += np.where(inside[..., None], pixels[rows, columns] * weight[..., None], 0)
    return total


@pytest.fixture(scope="module")
def synthetic(golden: Path) -> tuple[UInt8Array, list[dict[str, Any]]]:
    cases = json.loads((golden / "align_synthetic" / "align_synthetic.json").read_text())["cases"]
    for case in cases:
        case["pixels"] = decode_image(golden / case["crop"]).pixels
    return decode_image(golden / "align_synthetic" / "source.png").pixels, cases


def test_golden_template(golden: Path) -> None:
    template = json.loads((golden / "alignment.json").read_text())["template_xy"]
    np.testing.assert_array_equal(ARCFACE_TEMPLATE, template)


def test_golden_matrices(
    alignments: list[dict[str, Any]], synthetic: tuple[UInt8Array, list[dict[str, Any]]]
) -> None:
    for case in [*alignments, *synthetic[1]]:
        expected = np.array(case["matrix_2x3"])
        error = np.abs(similarity_transform(case["landmarks_xy"]) - expected)
        assert error[:, :2].max() < 1e-6 * np.abs(expected[:, :2]).max()
        assert error[:, 2].max() < 1e-6 * np.abs(expected[:, 2]).max()


def test_golden_crops(synthetic: tuple[UInt8Array, list[dict[str, Any]]]) -> None:
    source, cases = synthetic
    matrices = np.array([case["matrix_2x3"] for case in cases])
    for crops in (align_crop(source, matrices), align_crop_reference(source, matrices)):
        assert crops.shape == (len(cases), 112, 112, 3)
        assert crops.dtype == np.uint8
        for crop, case, matrix in zip(crops, cases, matrices, strict=True):
            assert np.abs(crop.astype(int) - case["pixels"]).max() <= 1
            assert np.abs(crop - bilinear_float64(source, matrix)).max() < 0.501


finite = st.floats(-2e4, 2e4, allow_nan=False)
scales = st.floats(0.02, 50.0)
angles = st.floats(-np.pi, np.pi)


def similarity(scale: float, angle: float, shift_x: float, shift_y: float) -> Float64Array:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, shift_x], [sin, cos, shift_y]])


@given(scale=scales, angle=angles, shift_x=finite, shift_y=finite)
def test_similarity_transform_recovers_a_similarity(
    scale: float, angle: float, shift_x: float, shift_y: float
) -> None:
    known = similarity(scale, angle, shift_x, shift_y)
    linear_inverse = np.linalg.inv(known[:, :2])
    landmarks = (ARCFACE_TEMPLATE - known[:, 2]) @ linear_inverse.T
    found = similarity_transform(landmarks)
    np.testing.assert_allclose(found[:, :2], known[:, :2], atol=1e-8 * scale)
    np.testing.assert_allclose(found[:, 2], known[:, 2], atol=1e-7 * (1 + np.abs(known).max()))


def umeyama(source: Float64Array, target: Float64Array) -> Float64Array:
    """Eqs. 40 to 42 of the paper, with the singular value decomposition."""
    p, q = source - source.mean(0), target - target.mean(0)
    u, d, vt = np.linalg.svd(q.T @ p / len(p))
    signs = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ signs @ vt
    scale = np.trace(np.diag(d) @ signs) / (p**2).sum() * len(p)
    linear = scale * rotation
    return np.column_stack([linear, target.mean(0) - linear @ source.mean(0)])


def test_similarity_transform_is_umeyamas_also_for_noisy_and_mirrored_landmarks(
    rng: np.random.Generator,
) -> None:
    noisy = ARCFACE_TEMPLATE * 3 + rng.normal(0, 20, (40, 5, 2))
    mirrored = noisy * [-1, 1]
    together = np.stack([noisy, mirrored])  # [2, 40, 5, 2]
    found = similarity_transform(together)
    assert found.shape == (2, 40, 2, 3)
    for landmarks, matrix in zip(together.reshape(-1, 5, 2), found.reshape(-1, 2, 3), strict=True):
        np.testing.assert_allclose(matrix, umeyama(landmarks, ARCFACE_TEMPLATE), atol=1e-9)


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.full((5, 2), 7.3), "all of them in one place"),
        (np.full((5, 2), 1e6) + 1e-12, "all of them in one place"),
        (np.full((5, 2), np.nan), "finite"),
        (np.where(np.eye(5, 2) > 0, np.inf, ARCFACE_TEMPLATE), "finite"),
        (ARCFACE_TEMPLATE[:4], r"\[\.\.\., 5, 2\], got \[4, 2\]"),
        (np.zeros(10), r"got \[10\]"),
    ],
)
def test_degenerate_landmarks(landmarks: Float64Array, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        similarity_transform(landmarks)


images = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60), st.just(3)), fill=st.nothing()
)


@native_only
@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    scale=st.floats(0.05, 20.0),
    angle=angles,
    anchor=st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5)),
)
def test_native_equals_reference_and_definition(
    seed: int, height: int, width: int, scale: float, angle: float, anchor: tuple[float, float]
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    matrix = similarity(scale, angle, 0.0, 0.0)  # brings the anchor to the centre of the crop
    matrix[:, 2] = 55.5 - matrix[:, :2] @ (np.array(anchor) * [width, height])
    crop = align_crop(pixels, matrix[None])[0]
    definition = bilinear_float64(pixels, matrix)
    assert np.abs(crop - definition).max() < 0.502
    reference = align_crop_reference(pixels, matrix[None])[0]
    assert np.abs(crop.astype(int) - reference).max() <= 1


@native_only
def test_border_taps_are_zero_one_by_one(rng: np.random.Generator) -> None:
    pixels = rng.integers(1, 256, (30, 30, 3), dtype=np.uint8)
    for shift in (-29.5, -29.0, -28.75, -0.5, 0.0, 0.25, 0.5, 1.0, 111.0, 111.5):
        matrix = np.array([[1.0, 0.0, shift], [0.0, 1.0, shift]])
        crop = align_crop(pixels, matrix[None])[0]
        assert np.abs(crop - bilinear_float64(pixels, matrix)).max() <= 0.5001


@native_only
def test_identity_is_exact_up_to_the_last_pixel(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    identity = np.eye(2, 3)[None]
    np.testing.assert_array_equal(align_crop(pixels, identity)[0], pixels)
    small = pixels[:50, :50]
    crop = align_crop(small, identity)[0]
    np.testing.assert_array_equal(crop[:50, :50], small)
    assert not crop[50:].any()
    assert not crop[:, 50:].any()


def layouts(pixels: UInt8Array) -> dict[str, UInt8Array]:
    padded = np.zeros((pixels.shape[0] + 3, pixels.shape[1] + 5, 3), np.uint8)
    padded[1:-2, 2:-3] = pixels
    every_second = np.repeat(np.repeat(pixels, 2, 0), 2, 1)
    return {
        "fortran": np.asfortranarray(pixels),
        "window": padded[1:-2, 2:-3],
        "rows reversed": np.ascontiguousarray(pixels[::-1])[::-1],
        "columns reversed": np.ascontiguousarray(pixels[:, ::-1])[:, ::-1],
        "channels reversed": np.ascontiguousarray(pixels[..., ::-1])[..., ::-1],
        "planar": np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0),
        "every second": every_second[::2, ::2],
        "rows only": np.repeat(pixels, 2, 0)[::2],
    }


def test_memory_layout_does_not_matter(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
    matrices = np.array([similarity(1.3, 0.4, 20, -5), similarity(0.7, -2.0, 90, 80)])
    expected = align_crop(pixels, matrices)
    for name, view in layouts(pixels).items():
        np.testing.assert_array_equal(view, pixels)
        np.testing.assert_array_equal(align_crop(view, matrices), expected, err_msg=name)
    strided = np.repeat(matrices, 2, axis=0)[::2]
    np.testing.assert_array_equal(align_crop(pixels, strided), expected)
    read_only = pixels.copy()
    read_only.setflags(write=False)
    np.testing.assert_array_equal(align_crop(read_only, matrices), expected)


@native_only
@pytest.mark.parametrize("size", [1, 5, 112, 127, 128, 129, 300])
def test_other_sizes_and_thread_counts(rng: np.random.Generator, size: int) -> None:
    pixels = rng.integers(0, 256, (90, 110, 3), dtype=np.uint8)
    matrix = similarity(size / 60, 0.3, size / 5, -size / 6)
    host = _extension.host
    assert host is not None
    one = host.align_crop(pixels, matrix[None], size, 1)
    assert np.abs(one[0] - bilinear_float64(pixels, matrix, size)).max() < 0.502
    for threads in (0, 2, 5):
        np.testing.assert_array_equal(host.align_crop(pixels, matrix[None], size, threads), one)


def test_no_crops() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    assert align_crop(pixels, np.empty((0, 2, 3))).shape == (0, 112, 112, 3)
    assert align_crop_reference(pixels, np.empty((0, 2, 3))).shape == (0, 112, 112, 3)


@native_only
@pytest.mark.parametrize("magnitude", [1e-150, 1e-9, 1e9, 1e18, 1e150])
def test_extreme_but_valid_matrices_are_safe(magnitude: float) -> None:
    pixels = np.full((20, 20, 3), 200, np.uint8)
    matrices = np.array([similarity(magnitude, 0.3, magnitude, 1e300), similarity(1, 0, 1e18, 0)])
    assert not align_crop(pixels, matrices).any()


BAD_MATRICES = [
    np.zeros((1, 2, 3)),
    np.array([[[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]]),
    np.full((1, 2, 3), np.nan),
    np.array([[[np.inf, 0.0, 0.0], [0.0, 1.0, 0.0]]]),
    np.array([np.eye(2, 3), [[1.0, 0.0, np.nan], [0.0, 1.0, 0.0]]]),
]


@pytest.mark.parametrize("matrices", BAD_MATRICES)
def test_matrices_that_cannot_be_inverted(matrices: Float64Array) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    for function in (align_crop, align_crop_reference):
        with pytest.raises(InvalidArgumentError, match="finite and invertible"):
            function(pixels, matrices)
    if _extension.host is not None:
        with pytest.raises(ValueError, match="finite and invertible"):
            _extension.host.align_crop(pixels, matrices)


@pytest.mark.parametrize(
    ("pixels", "matrices", "message"),
    [
        (np.zeros((4, 4), np.uint8), np.eye(2, 3)[None], r"\[H, W, 3\].* got .*\[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), np.eye(2, 3)[None], r"\[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), np.eye(2, 3)[None], r"\[0, 4, 3\]"),
        (np.zeros((4, 0, 3), np.uint8), np.eye(2, 3)[None], r"\[4, 0, 3\]"),
        (np.zeros((4, 4, 3), np.float32), np.eye(2, 3)[None], r"uint8.* got float32"),
        (np.zeros((4, 4, 3), np.uint8), np.eye(2, 3), r"\[K, 2, 3\], got .*\[2, 3\]"),
        (np.zeros((4, 4, 3), np.uint8), np.eye(2, 3, dtype=np.float32)[None], "float64"),
    ],
)
def test_wrong_arguments(pixels: Any, matrices: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        align_crop(pixels, matrices)
    if _extension.host is not None:
        with pytest.raises((ValueError, TypeError), match=message):
            _extension.host.align_crop(pixels, matrices)


@native_only
@pytest.mark.parametrize(("size", "threads"), [(0, 0), (-3, 0), (1 << 20, 0), (112, -1)])
def test_wrong_size_and_threads(size: int, threads: int) -> None:
    host = _extension.host
    assert host is not None
    with pytest.raises(ValueError, match=r"expected (size in|threads >= 0)"):
        host.align_crop(np.zeros((4, 4, 3), np.uint8), np.eye(2, 3)[None], size, threads)


def test_reference_runs_without_the_extension(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    matrices = similarity(1.7, 0.2, 10, 5)[None]
    native = align_crop(pixels, matrices)
    monkeypatch.setattr(_extension, "host", None)
    plain = align_crop(pixels, matrices)
    np.testing.assert_array_equal(plain, align_crop_reference(pixels, matrices))
    assert np.abs(plain.astype(int) - native).max() <= 1


def detected(landmarks: Any) -> DetectedFace:
    box = np.array([0, 0, 10, 10], np.float32)
    return DetectedFace(box, np.asarray(landmarks, np.float32), 0.9)


def test_align_faces(synthetic: tuple[UInt8Array, list[dict[str, Any]]]) -> None:
    source, cases = synthetic
    image = FaceImage("photo.jpg", source, "grey")
    faces = [detected(case["landmarks_xy"]) for case in cases]
    aligned = align_faces(image, faces)
    for index, (one, case) in enumerate(zip(aligned, cases, strict=True)):
        assert (one.path, one.note, one.face_index) == ("photo.jpg", "grey", index)
        assert one.detection is faces[index]
        # float32 landmarks move the crop by less than a level
        assert np.abs(one.crop.astype(int) - case["pixels"]).max() <= 1
    assert align_faces(image, []) == []
    assert [a.face_index for a in align_faces(image, faces[:2], face_indices=[3, 1])] == [3, 1]
    with pytest.raises(InvalidArgumentError, match="face_indices of length 2, got 1"):
        align_faces(image, faces[:2], face_indices=[0])


def test_face_with_degenerate_landmarks_is_an_image_error() -> None:
    image = FaceImage("photo.jpg", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ImageError, match=r"photo\.jpg") as caught:
        align_faces(image, [detected(np.zeros((5, 2)))])
    assert caught.value.reason is FailureReason.NO_FACE


def test_crop_of_the_right_size_is_taken_as_it_is(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    aligned = resize_crop(FaceImage("c.png", pixels, "16-bit"))
    np.testing.assert_array_equal(aligned.crop, pixels)
    assert aligned.note == "16-bit"
    assert (aligned.face_index, aligned.detection) == (0, None)


@pytest.mark.parametrize(
    ("height", "width", "interpolation"),
    [
        (224, 224, cv2.INTER_AREA),
        (130, 120, cv2.INTER_AREA),
        (112, 96, cv2.INTER_LINEAR),
        (16, 16, cv2.INTER_LINEAR),
        (1, 1, cv2.INTER_LINEAR),
    ],
)
def test_resize(rng: np.random.Generator, height: int, width: int, interpolation: int) -> None:
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    aligned = resize_crop(FaceImage("c.png", pixels))
    expected = cv2.resize(pixels, (112, 112), interpolation=interpolation)
    np.testing.assert_array_equal(aligned.crop, expected)
    assert aligned.note == f"resized from {width}x{height}"


def test_resize_averages_the_long_side_and_stretches_the_short_one(
    rng: np.random.Generator,
) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8)[:, None, None], (112, 56, 3))  # 224 rows
    aligned = resize_crop(FaceImage("c.png", stripes, "grey"))
    assert aligned.crop.shape == (112, 112, 3)
    assert set(np.unique(aligned.crop)) <= {127, 128}
    assert aligned.note == "grey, resized from 56x224"


def test_resize_refuses_other_arrays() -> None:
    with pytest.raises(InvalidArgumentError, match="resize_crop: expected pixels"):
        resize_crop(FaceImage("c.png", np.zeros((112, 112), np.uint8)))
