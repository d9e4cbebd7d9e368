"""How far a label optimisation has come, kept so that an interrupted one goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fiqa_fast.training.checkpoint import Checkpoints
from fiqa_fast.training.distribution import Processes
from fiqa_fast.training.identity_clusters import ClusterArray
from fiqa_fast.types import Float64Array


class LabelProgress:
    """What is done: clusters first, then repeat after repeat.

    Args:
        folder: where it is kept; None: nowhere.
        settings: everything that decides the numbers.
        images: how many there are.

    Attributes:
        cluster: uint16 [S]; None until images are clustered.
        index_sum: float64 [S]: the sum over the repeats that are done.
        pair_counts: pairs of each repeat that is done.

    Raises:
        ResultsError: the folder holds progress with other settings, or is damaged.
    """

    def __init__(self, folder: Path | None, settings: Mapping[str, Any], images: int) -> None:
        self.cluster: ClusterArray | None = None
        self.index_sum: Float64Array = np.zeros(images)
        self.pair_counts: list[int] = []
        self._checkpoints = None if folder is None else Checkpoints(folder, Processes(), settings)
        found = None if self._checkpoints is None else self._checkpoints.latest()
        if found is not None:
            self.cluster = found["cluster"].numpy()
            self.index_sum = found["index_sum"].numpy()
            self.pair_counts = found["pair_counts"]

    def save(self) -> None:
        """Keeps what is done.

        Raises:
            ResultsError: it cannot be written.
        """
        if self._checkpoints is None:
            return
        state = {
            "cluster": torch.from_numpy(self.cluster),
            "index_sum": torch.from_numpy(self.index_sum),
            "pair_counts": self.pair_counts,
        }
        self._checkpoints.save(len(self.pair_counts), state)


def digest(values: npt.NDArray[np.generic]) -> str:
    """Tells arrays of other content apart."""
    return hashlib.blake2b(np.ascontiguousarray(values).data, digest_size=16).hexdigest()
