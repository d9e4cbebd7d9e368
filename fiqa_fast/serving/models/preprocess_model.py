"""`face_preprocess`: an image file in; crop, box, landmarks, status and reason out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils  # exists inside Triton only

from fiqa_fast.serving.find_face import find_face
from fiqa_fast.serving.models.metrics import FaceMetrics
from fiqa_fast.serving.models.requests import (
    FAILED,
    OK,
    response,
    text_tensor,
    texts_of,
)
from fiqa_fast.serving.preprocess_file import NAME, PreprocessFile
from fiqa_fast.serving.typed_record import read_record
from fiqa_fast.types import CROP_SIZE_PX, AlignedFace, FailedImage


class PreprocessModel:
    """Finds and aligns one face in each image.

    Input `image`: BYTES [B, 1], encoded image files. Outputs `crop`: uint8 [B, 112, 112, 3];
    `box`: float32 [B, 4]; `landmarks`: float32 [B, 5, 2]; `confidence`: float32 [B, 1]; `status`,
    `reason`, `note`: BYTES [B, 1]. Where there is no face the crop is zero and the numbers are NaN;
    they are NaN too where images are crops already and nothing is detected.
    """

    def initialize(self, args: Mapping[str, str]) -> None:
        """Makes the detector and runs it once, so that the first request is not the slow one."""
        folder = Path(args["model_repository"]) / args["model_version"]
        settings = read_record(PreprocessFile, folder / NAME)
        cv2.setNumThreads(1)  # a thread for each image is faster than several for one
        self._finder = settings.finder()
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="fiqa-faces")
        self._metrics = FaceMetrics(args["model_name"])
        blank = np.zeros((CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)
        for looked_at in [
            self._pool.submit(self._finder.find, blank) for _ in range(settings.threads)
        ]:
            looked_at.result()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers each request; an image that cannot be used is an answer, not an error."""
        images = [texts_of(request, "image") or [] for request in requests]
        found = self._pool.map(
            lambda data: find_face(self._finder, data), [data for of in images for data in of]
        )
        answers = []
        for of_request in images:
            faces = [next(found) for _ in of_request]
            for face in faces:
                self._metrics.count(face)
            answers.append(response(_tensors(faces)))
        return answers

    def finalize(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()


def _tensors(faces: Sequence[AlignedFace | FailedImage]) -> list[Any]:
    count = len(faces)
    crop = np.zeros((count, CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)
    box = np.full((count, 4), math.nan, np.float32)
    landmarks = np.full((count, 5, 2), math.nan, np.float32)
    confidence = np.full((count, 1), math.nan, np.float32)
    status, reason, note = [], [], []
    for i, face in enumerate(faces):
        if isinstance(face, FailedImage):
            status.append(FAILED)
            reason.append(str(face.reason))
            note.append(face.message)
            continue
        crop[i] = face.crop
        if face.detection is not None:
            box[i], landmarks[i] = face.detection.box, face.detection.landmarks
            confidence[i] = face.detection.confidence
        status.append(OK)
        reason.append("")
        note.append(face.note)
    arrays = {"crop": crop, "box": box, "landmarks": landmarks, "confidence": confidence}
    return [
        *(pb_utils.Tensor(name, array) for name, array in arrays.items()),
        text_tensor("status", status),
        text_tensor("reason", reason),
        text_tensor("note", note),
    ]
