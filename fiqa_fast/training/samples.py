"""A training set as samples that can be scored and embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from fiqa_fast.errors import ImageError
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.pipeline import Source
from fiqa_fast.training.data.base import TrainingSet


def as_protocol(training_set: TrainingSet) -> Protocol:
    """The samples of a training set, with its crops and identities and without comparisons."""
    nothing = np.zeros(0, np.int32)
    return Protocol(
        name=training_set.name,
        samples=tuple(training_set.samples),
        sources=_Contents(training_set),
        aligned=True,
        identity=training_set.identity,
        sample_a=nothing,
        sample_b=nothing,
        mated=nothing.astype(np.bool_),
    )


class _Contents(Sequence[Source]):
    """The encoded images, read when they are asked for."""

    def __init__(self, training_set: TrainingSet) -> None:
        self._set = training_set

    def __len__(self) -> int:
        return self._set.count

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[Source]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[Source]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        try:
            return self._set.read(index)
        except ImageError:
            return b""  # no image: a row with that reason, where an error would end all
