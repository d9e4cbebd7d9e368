"""What a data set is to an evaluation: samples, and which of them are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.pipeline import Source
from fiqa_fast.types import Float64Array

IndexArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Protocol:
    """Comparisons of single samples.

    Attributes:
        name: of the data set, such as "LFW".
        samples: the distinct samples by name: what stands in tables of scores.
        sources: for each sample its image, a path or the bytes of a file; empty where the protocol
            came without images (then scores and embeddings must be given).
        aligned: whether the images are aligned crops, in which no face has to be found.
        identity: int32 [S]: number of each sample's person; None where nobody knows.
        sample_a, sample_b: int32 [N]: positions in `samples`.
        mated: bool [N]: whether both show the same person.
        comparison_scores: float64 [N], finite, higher is more alike, where the data set brings
            them; None: they follow from embeddings.
    """

    name: str
    samples: tuple[str, ...]
    sources: Sequence[Source]
    aligned: bool
    identity: IndexArray | None
    sample_a: IndexArray
    sample_b: IndexArray
    mated: BoolArray
    comparison_scores: Float64Array | None = None


@dataclass(frozen=True)
class TemplateProtocol:
    """Comparisons of templates: sets of samples of one person each (IJB-C).

    Attributes:
        name, samples, sources, aligned: as of a `Protocol`.
        landmarks: float32 [S, 5, 2]: five landmarks of each sample in pixels of its image, where
            the data set brings them; then no face has to be found.
        templates: the distinct template ids, as they stand in the data set.
        template_sample: int32 [M]: positions in `samples`; a sample may be in several templates.
        template_of: int32 [M]: position in `templates` of each entry of `template_sample`.
        media_of: int32 [M]: number of the medium of each entry; frames of one video share it.
        template_a, template_b: int32 [N]: positions in `templates`.
        mated: bool [N]: whether both show the same person.
        comparison_scores: as of a `Protocol`.
    """

    name: str
    samples: tuple[str, ...]
    sources: Sequence[Source]
    aligned: bool
    landmarks: npt.NDArray[np.float32] | None
    templates: tuple[str, ...]
    template_sample: IndexArray
    template_of: IndexArray
    media_of: IndexArray
    template_a: IndexArray
    template_b: IndexArray
    mated: BoolArray
    comparison_scores: Float64Array | None = None
