"""Finds a protocol's samples by names as they stand in other files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class SampleNames:
    """Names of samples, to be looked up.

    A given name is that of a sample when it is equal, or ends with it behind a slash: a table of
    scores may hold longer paths than the protocol.

    Args:
        samples: the distinct names.
    """

    def __init__(self, samples: Sequence[str]) -> None:
        self.samples = samples
        self._position = {_plain(name): n for n, name in enumerate(samples)}
        self._lengths = sorted({name.count("/") + 1 for name in self._position}, reverse=True)

    def find_all(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """The position of each name among the samples, -1 for one that is none: int64 [len]."""
        return np.asarray([self._find(name) for name in names], dtype=np.int64)

    def _find(self, name: str) -> int:
        whole = _plain(name)
        if whole in self._position:
            return self._position[whole]
        parts = whole.split("/")
        for length in self._lengths:
            if length < len(parts):
                found = self._position.get("/".join(parts[-length:]))
                if found is not None:
                    return found
        return -1


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")
