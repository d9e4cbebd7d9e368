"""How well samples can be told from other persons: what CR-FIQA learns to predict.

F. Boutros et al., "CR-FIQA: Face Image Quality Assessment by Learning Sample Relative
Classifiability" (CVPR 2023): class centre angular similarity (CCS), nearest negative class centre
angular similarity (NNCCS), and their ratio, the certainty ratio (CR).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.distributions import describe_distribution, shared_edges
from fiqa_fast.evaluation.group_sums import sum_groups
from fiqa_fast.evaluation.result import DistributionRecord
from fiqa_fast.evaluation.similarity import (
    EmbeddingArray,
    IndexArray,
    check_positions,
    list_positions,
    row_norms,
    unit_rows,
)
from fiqa_fast.types import Float32Array, Float64Array

CR_EPSILON = 1e-9

_BLOCK = 2048


@dataclass(frozen=True)
class Classifiability:
    """Of each sample; NaN for one without an embedding.

    Attributes:
        ccs: float64 [S] in -1..1: cosine to the sample's own class centre.
        nnccs: float64 [S] in -1..1: the highest cosine to another class centre.
        cr: float64 [S]: ccs / (nnccs + 1 + 1e-9), higher is easier to classify.
    """

    ccs: Float64Array
    nnccs: Float64Array
    cr: Float64Array


def measure_classifiability(
    embeddings: EmbeddingArray,
    identity: IndexArray,
    centres: EmbeddingArray | None = None,
    *,
    block: int = _BLOCK,
) -> Classifiability:
    """CCS, NNCCS and CR of samples with known persons.

    CR follows the paper; the released training code leaves "+ 1 + 1e-9" out. Similarities to the
    centres are computed in blocks, and never stored whole.

    Args:
        embeddings: float32 or float16 [S, D]; may be a memory map; NaN for a sample without an
            embedding.
        identity: integers [S]: number of each sample's person, 0 or above.
        centres: float32 or float16 [C, D], by identity: the class weights that the network was
            trained with. None: the centre of a class is the normalised mean of the normalised
            embeddings of its samples, the sample itself among them; then single samples of a person
            have a CCS of 1.
        block: samples and classes at a time.

    Raises:
        InvalidArgumentError: wrong shapes or dtypes, an identity below 0 or without a centre, a
            single class, a zero, infinite or (centres) missing embedding.
    """
    if block < 1:
        raise InvalidArgumentError(
            f"evaluate: expected block to be at least 1, got {block}; leave it out"
        )
    norms = row_norms(embeddings)
    if identity.shape != norms.shape:
        raise InvalidArgumentError(
            f"evaluate: expected identity of shape [{len(norms)}], got {list(identity.shape)}; give"
            " a number for each sample's person"
        )
    if centres is None:
        check_positions("identity", identity, np.iinfo(np.int64).max)
        units, own = _mean_centres(embeddings, identity, norms)
    else:
        units = _given_centres(centres, embeddings.shape[1])
        check_positions("identity", identity, len(units))
        own = identity.astype(np.int64)
    if len(units) < 2:
        raise InvalidArgumentError(
            f"evaluate: expected two or more classes, got {len(units)}; the nearest other centre"
            " needs another"
        )
    ccs, nnccs = np.empty((2, len(norms)), np.float64)
    for start in range(0, len(norms), block):
        part = slice(start, start + block)
        samples = unit_rows(embeddings[part])
        ccs[part] = np.clip(np.vecdot(samples, units[own[part]]), -1, 1)
        nnccs[part] = np.clip(_nearest_other(samples, own[part], units, block), -1, 1)
    return Classifiability(ccs, nnccs, ccs / (nnccs + 1 + CR_EPSILON))


def describe_classifiability(
    data_set: str, classifiability: Classifiability
) -> tuple[DistributionRecord, ...]:
    """Histograms of CCS and NNCCS, over the same bins, and of CR.

    Raises:
        InvalidArgumentError: no sample has an embedding.
    """
    ccs, nnccs, cr = classifiability.ccs, classifiability.nnccs, classifiability.cr
    edges = shared_edges([ccs, nnccs])
    return (
        describe_distribution(data_set, "CCS", ccs, higher_is_better=True, edges=edges),
        describe_distribution(data_set, "NNCCS", nnccs, higher_is_better=False, edges=edges),
        describe_distribution(data_set, "CR", cr, higher_is_better=True),
    )


def _mean_centres(
    embeddings: EmbeddingArray, identity: IndexArray, norms: Float64Array
) -> tuple[Float32Array, npt.NDArray[np.int64]]:
    """Centres of the classes that have an embedding, and each sample's position among them."""
    present = np.flatnonzero(~np.isnan(norms))
    names, class_of = np.unique(identity[present], return_inverse=True)
    order = np.argsort(class_of, kind="stable")
    ends = np.searchsorted(class_of[order], np.arange(len(names)), side="right")
    rows = present[order]
    sums = sum_groups(embeddings, rows, ends, 1 / norms[rows])
    # A class without any embedding has no centre; its samples are NaN wherever they point.
    own = np.zeros(len(identity), np.int64)
    own[present] = class_of
    return unit_rows(sums), own


def _given_centres(centres: EmbeddingArray, dimensions: int) -> Float32Array:
    absent = np.flatnonzero(np.isnan(row_norms(centres)))
    if len(absent):
        raise InvalidArgumentError(
            f"evaluate: expected centres without NaN, got NaN in {list_positions(absent)}; give the"
            " class weights of a trained network"
        )
    if centres.shape[1] != dimensions:
        raise InvalidArgumentError(
            f"evaluate: expected centres of shape [C, {dimensions}], got {list(centres.shape)};"
            " give those of the network that made the embeddings"
        )
    return unit_rows(centres)


def _nearest_other(
    samples: Float32Array, own: IndexArray, centres: Float32Array, block: int
) -> Float32Array:
    nearest = np.full(len(samples), -np.inf, np.float32)
    for start in range(0, len(centres), block):
        cosines = samples @ centres[start : start + block].T
        rows = np.flatnonzero((own >= start) & (own < start + cosines.shape[1]))
        cosines[rows, own[rows] - start] = -np.inf
        np.maximum(nearest, cosines.max(axis=1), out=nearest)
    nearest[np.isnan(samples[:, 0])] = np.nan
    return nearest
