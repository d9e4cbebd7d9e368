"""Weighted sums of embeddings over groups of samples: templates, class centres."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from fiqa_fast.evaluation.similarity import EmbeddingArray, IndexArray
from fiqa_fast.types import Float32Array, Float64Array

_ENTRIES_AT_ONCE = 8192


def sum_groups(
    embeddings: EmbeddingArray, rows: IndexArray, ends: IndexArray, coefficients: Float64Array
) -> Float32Array:
    """For each group of entries the sum of coefficient times embedding.

    Torch's embedding_bag adds the entries of a group one after the other in float32; numpy's
    `add.reduceat` takes 30 times as long. Some thousand entries are gathered at a time, but at
    least one whole group.

    Args:
        embeddings: float32 or float16 [S, D]; may be a memory map.
        rows: integers [M]: positions in `embeddings`; the entries of a group stand beside each
            other.
        ends: integers [G], ascending: the entry behind each group's last one; a group may be
            empty.
        coefficients: float64 [M].

    Returns:
        float32 [G, D]; zero for an empty group.
    """
    sums = np.empty((len(ends), embeddings.shape[1]), np.float32)
    begins = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    group = 0
    while group < len(ends):
        first = begins[group]
        fitting = int(np.searchsorted(ends, first + _ENTRIES_AT_ONCE, side="right"))
        next_group = max(fitting, group + 1)
        last = ends[next_group - 1]
        gathered = np.take(embeddings, rows[first:last], axis=0).astype(np.float32, copy=False)
        torch_sums = F.embedding_bag(
            torch.arange(last - first),
            torch.from_numpy(np.asarray(gathered)),
            torch.from_numpy((begins[group:next_group] - first).astype(np.int64)),
            mode="sum",
            per_sample_weights=torch.from_numpy(coefficients[first:last].astype(np.float32)),
        )
        sums[group:next_group] = torch_sums.numpy()
        group = next_group
    return sums
