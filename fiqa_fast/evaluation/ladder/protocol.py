"""A protocol from degraded photographs: each against undegraded ones of the same and of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fiqa_fast.evaluation.ladder.rungs import CLEAN, Rung
from fiqa_fast.evaluation.protocols.base import Protocol


def ladder_protocol(
    rungs: Sequence[Rung], identity_of: Mapping[str, str], folder: Path, name: str
) -> Protocol:
    """Compares every crop of a ladder with the clean crops of all other photographs.

    Clean crops meet each other once. A comparison is mated where both photographs show the same
    person.

    Args:
        rungs: of the ladder, clean ones included.
        identity_of: whom each photograph shows.
        folder: that the rungs' files are relative to.
        name: of the data set.
    """
    people = sorted(set(identity_of.values()))
    identity = np.asarray([people.index(identity_of[r.photo]) for r in rungs], dtype=np.int32)
    photos = sorted({rung.photo for rung in rungs})
    photo = np.asarray([photos.index(rung.photo) for rung in rungs])
    is_clean = np.asarray([rung.degradation == CLEAN for rung in rungs])
    clean = np.flatnonzero(is_clean)

    a, b = (grid.ravel() for grid in np.meshgrid(np.arange(len(rungs)), clean, indexing="ij"))
    wanted = (photo[a] != photo[b]) & (~is_clean[a] | (a < b))
    a, b = a[wanted].astype(np.int32), b[wanted].astype(np.int32)
    return Protocol(
        name=name,
        samples=tuple(rung.file for rung in rungs),
        sources=[folder / rung.file for rung in rungs],
        aligned=True,
        identity=identity,
        sample_a=a,
        sample_b=b,
        mated=identity[a] == identity[b],
    )
