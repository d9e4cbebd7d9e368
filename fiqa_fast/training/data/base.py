"""What a data set is to a training: encoded crops, and whose they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fiqa_fast.evaluation.protocols.base import IndexArray
from fiqa_fast.types import FailureReason


@dataclass(frozen=True)
class SkippedSample:
    """A sample that a training leaves out, and why.

    Attributes:
        sample: its name.
        reason: the machine-readable reason.
        message: the sentence for a person.
    """

    sample: str
    reason: FailureReason
    message: str


@dataclass(frozen=True)
class TrainingSet:
    """Encoded images of known identities, read one by one in any order.

    Attributes:
        name: of the data set.
        samples: S distinct names; made when they are asked for where there may be many millions.
        identity: int32 [S]: number of each sample's person.
        identity_names: what the data set calls each person. A number without any sample is an
            identity without images (`check_training_set` finds it).
        read: gives the bytes of the image at a position 0..S-1; may be called from any thread.
            Raises ImageError where the bytes cannot be had.
        skipped: what the reader was asked to leave out.
    """

    name: str
    samples: Sequence[str]
    identity: IndexArray
    identity_names: Sequence[str]
    read: Callable[[int], bytes]
    skipped: tuple[SkippedSample, ...] = ()

    @property
    def count(self) -> int:
        """S, the number of samples."""
        return len(self.identity)
