from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fiqa_fast.errors import ImageError
from fiqa_fast.evaluation.face_finder import face_finder
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.crops import read_crop
from fiqa_fast.training.samples import as_protocol
from fiqa_fast.types import FailedImage, FailureReason


def test_a_training_set_can_be_scored(drawn_faces: TrainingSet) -> None:
    samples = as_protocol(drawn_faces)

    assert samples.samples == tuple(drawn_faces.samples)
    assert len(samples.sources) == drawn_faces.count
    assert [samples.sources[n] for n in (0, 5)] == [drawn_faces.read(0), drawn_faces.read(5)]
    assert samples.sources[1:3] == [drawn_faces.read(1), drawn_faces.read(2)]
    (face,) = face_finder(samples).find(samples.sources[7], 7)
    np.testing.assert_array_equal(face.crop, read_crop(drawn_faces, 7))
    with pytest.raises(IndexError):
        samples.sources[drawn_faces.count]


def test_a_sample_that_cannot_be_had_is_no_image(drawn_faces: TrainingSet) -> None:
    def read(position: int) -> bytes:
        raise ImageError(FailureReason.FILE_NOT_FOUND, f"{position} is away")

    samples = as_protocol(replace(drawn_faces, read=read))

    assert isinstance(face_finder(samples).find(samples.sources[0], 0), FailedImage)
