"""Cuts faces out of photographs, with the landmarks where ArcFace networks expect them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from fiqa_fast import _extension
from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.images.pixels import check_pixels
from fiqa_fast.types import (
    CROP_SIZE_PX,
    AlignedFace,
    DetectedFace,
    FaceImage,
    FailureReason,
    Float64Array,
    UInt8Array,
)

ARCFACE_TEMPLATE: Float64Array = np.array(
    # float32 values, as the networks' published alignment code holds them
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    dtype=np.float32,
).astype(np.float64)
"""float64 [5, 2], (x, y) in a 112 x 112 crop: eyes, nose tip, mouth corners (image left first).

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019.
"""
ARCFACE_TEMPLATE.setflags(write=False)


def similarity_transform(landmarks: npt.ArrayLike) -> Float64Array:
    """The similarity that brings landmarks closest to `ARCFACE_TEMPLATE` in the least squares.

    Rotation, uniform scale and translation, no reflection: Umeyama, "Least-squares estimation of
    transformation parameters between two point patterns", IEEE TPAMI 13(4), 1991, eqs. 40 to 42. In
    the plane a rotation with scale is one complex factor, so that their singular value
    decomposition becomes a division: factor = sum(conj(p) q) / sum(|p|^2) over the centred points.

    Args:
        landmarks: [..., 5, 2], (x, y) in photograph pixels, in the template's order.

    Returns:
        float64 [..., 2, 3], mapping photograph (x, y, 1) to crop (x, y).

    Raises:
        InvalidArgumentError: another shape; a landmark that is not finite; landmarks from which no
            scale follows (all in one place).

    Example:
        >>> similarity_transform(ARCFACE_TEMPLATE).round(9).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape[-2:] != (5, 2):
        raise InvalidArgumentError(
            "similarity_transform: expected landmarks of shape [..., 5, 2], got"
            f" {list(points.shape)}"
        )
    if not np.isfinite(points).all():
        raise InvalidArgumentError(
            "similarity_transform: expected finite landmarks, got NaN or infinity"
        )
    source = points[..., 0] + 1j * points[..., 1]
    target = ARCFACE_TEMPLATE[:, 0] + 1j * ARCFACE_TEMPLATE[:, 1]
    source_mean = source.mean(-1, keepdims=True)
    p, q = source - source_mean, target - target.mean()
    spread = (p.real**2 + p.imag**2).sum(-1)
    # What rounding leaves of coinciding points is no spread.
    smallest = (1e-9 * (1.0 + np.abs(source_mean[..., 0]))) ** 2
    if (spread <= smallest).any():
        raise InvalidArgumentError(
            "similarity_transform: expected five landmarks apart from each other, got all of them"
            " in one place"
        )
    factor = (p.conj() * q).sum(-1) / spread
    if (np.abs(factor) ** 2 * spread <= 1e-12 * (np.abs(q) ** 2).sum()).any():
        raise InvalidArgumentError(
            "similarity_transform: expected landmarks in the order of the template, got an"
            " arrangement that no rotation brings near it (mirrored?)"
        )
    shift = target.mean() - factor * source_mean[..., 0]
    matrix = np.empty((*factor.shape, 2, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = factor.real
    matrix[..., 1, 0] = factor.imag
    matrix[..., 0, 1] = -factor.imag
    matrix[..., 0, 2] = shift.real
    matrix[..., 1, 2] = shift.imag
    return matrix


def align_crop(pixels: UInt8Array, matrices: Float64Array) -> UInt8Array:
    """Warps crops out of a photograph: bilinear, black outside of it.

    Runs natively where the compiled extension is loaded, otherwise `align_crop_reference`. The two
    agree within one grey level, and with bilinear interpolation in float64 within .501.

    Args:
        pixels: uint8 [H, W, 3], RGB (or any order, it is kept), any memory layout.
        matrices: float64 [K, 2, 3], mapping photograph (x, y, 1) to crop (x, y), pixel centres at
            integers. K may be 0.

    Returns:
        uint8 [K, 112, 112, 3].

    Raises:
        InvalidArgumentError: wrong shapes or dtypes, matrices not finite or not invertible.
    """
    if _extension.host is None:
        return align_crop_reference(pixels, matrices)
    try:  # it checks the arguments itself; checking them in numpy first costs half its time again
        crops: UInt8Array = _extension.host.align_crop(pixels, matrices, CROP_SIZE_PX)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(str(error)) from error
    return crops


def align_crop_reference(pixels: UInt8Array, matrices: Float64Array) -> UInt8Array:
    """The plain twin of `align_crop`: cv2.warpAffine, one crop after the other."""
    _check_arguments(pixels, matrices)
    crops = np.empty((len(matrices), CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)
    contiguous = np.ascontiguousarray(pixels)
    for crop, matrix in zip(crops, matrices, strict=True):
        crop[:] = cv2.warpAffine(
            contiguous,
            matrix,
            (CROP_SIZE_PX, CROP_SIZE_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
    return crops


def align_faces(
    image: FaceImage,
    faces: Sequence[DetectedFace],
    face_indices: Sequence[int] | None = None,
) -> list[AlignedFace]:
    """Cuts every given face out of a photograph.

    Args:
        image: the photograph.
        faces: some or all of its faces.
        face_indices: position of each among all faces of the photograph, the largest first;
            default: 0, 1, ..., which is right when the first ones or all are given.

    Returns:
        One crop per face, in the same order.

    Raises:
        ImageError: `no_face` when a face's landmarks are degenerate.
        InvalidArgumentError: `face_indices` of another length.
    """
    indices = range(len(faces)) if face_indices is None else face_indices
    if len(indices) != len(faces):
        raise InvalidArgumentError(
            f"align_faces: expected face_indices of length {len(faces)}, got {len(indices)}"
        )
    if not faces:
        return []
    try:
        matrices = similarity_transform(np.stack([face.landmarks for face in faces]))
    except InvalidArgumentError as error:
        raise ImageError(
            FailureReason.NO_FACE, f"{image.path}: a face cannot be aligned ({error})"
        ) from error
    crops = align_crop(image.pixels, matrices)
    return [
        AlignedFace(image.path, crop, index, face, image.note)
        for crop, index, face in zip(crops, indices, faces, strict=True)
    ]


def resize_crop(image: FaceImage) -> AlignedFace:
    """Takes an image as a crop that is aligned already, and brings it to 112 x 112.

    Sides that shrink are averaged (INTER_AREA), sides that grow are interpolated (INTER_LINEAR);
    the note then names the original width and height, such as "resized from 96x112".

    Raises:
        InvalidArgumentError: `image.pixels` is not uint8 [H, W, 3].
    """
    check_pixels("resize_crop", image.pixels)
    height, width = image.pixels.shape[:2]
    if (height, width) == (CROP_SIZE_PX, CROP_SIZE_PX):
        return AlignedFace(image.path, image.pixels, note=image.note)
    crop = image.pixels
    shrunk = (min(width, CROP_SIZE_PX), min(height, CROP_SIZE_PX))
    if shrunk != (width, height):
        crop = np.asarray(cv2.resize(crop, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
    if shrunk != (CROP_SIZE_PX, CROP_SIZE_PX):
        grown = cv2.resize(crop, (CROP_SIZE_PX, CROP_SIZE_PX), interpolation=cv2.INTER_LINEAR)
        crop = np.asarray(grown, np.uint8)
    notes = [image.note] if image.note else []
    return AlignedFace(image.path, crop, note=", ".join([*notes, f"resized from {width}x{height}"]))


def _check_arguments(pixels: UInt8Array, matrices: Float64Array) -> None:
    check_pixels("align_crop", pixels)
    if matrices.dtype != np.float64 or matrices.ndim != 3 or matrices.shape[1:] != (2, 3):
        raise InvalidArgumentError(
            f"align_crop: expected matrices float64 of shape [K, 2, 3], got {matrices.dtype}"
            f" {list(matrices.shape)}"
        )
    if not (np.isfinite(matrices).all() and _are_invertible(matrices[:, :, :2])):
        raise InvalidArgumentError(
            "align_crop: expected matrices that are finite and invertible, got"
            f" {matrices.tolist()}; check the landmarks they come from"
        )


def _are_invertible(linear: Float64Array) -> bool:
    # Scaled first, so that a strong but uniform reduction is not taken for a singular matrix.
    largest = np.abs(linear).max((1, 2), keepdims=True, initial=np.finfo(np.float64).tiny)
    scaled = linear / largest
    determinant = scaled[:, 0, 0] * scaled[:, 1, 1] - scaled[:, 0, 1] * scaled[:, 1, 0]
    return bool((np.abs(determinant) > 1e-12).all())
