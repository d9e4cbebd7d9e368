"""Embeddings of a protocol's samples, by a network of the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.embedding_cache import Batch, EmbeddingCache, EmbeddingFacts
from fiqa_fast.evaluation.face_finder import face_finder
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.images.decode import DEFAULT_MAX_MEGAPIXELS
from fiqa_fast.pipeline import DEFAULT_BATCH_SIZE, check_batch_size
from fiqa_fast.scorers.base import working
from fiqa_fast.scorers.crops import as_crop_tensor
from fiqa_fast.scorers.evaluation import modes_of_scoring
from fiqa_fast.scorers.passes import Passes, resolve_engine
from fiqa_fast.types import (
    CROP_SIZE_PX,
    AlignedFace,
    FailedImage,
    Float32Array,
    Float64Array,
    UInt8Array,
)
from fiqa_fast.work_ahead import work_ahead

Augmentation = Literal["concatenate", "sum", "raw_sum", "none"]
OnBatch = Callable[[int], object]


@dataclass(frozen=True)
class Embeddings:
    """What a recognition network made of samples.

    Attributes:
        samples: their names, in the order of the rows.
        embeddings: float32 [S, D]; may be a read-only map of a file. Rows have length 1 or, for
            "concatenate", the square root of 2, and any for "raw_sum"; those of samples without an
            embedding are NaN.
        reasons: why, for each sample without an embedding.
    """

    samples: tuple[str, ...]
    embeddings: Float32Array
    reasons: Mapping[str, str]


def compute_embeddings(
    protocol: Protocol | TemplateProtocol,
    backbone: Backbone,
    *,
    augmentation: Augmentation = "concatenate",
    batch_size: int = DEFAULT_BATCH_SIZE,
    engine: str = "auto",
    threads: int | None = None,
    max_megapixels: float = DEFAULT_MAX_MEGAPIXELS,
    cache_folder: str | Path | None = None,
    on_batch: OnBatch | None = None,
) -> Embeddings:
    """Computes the embedding of every sample, streamed: threads decode and align ahead.

    e is the embedding of the crop, f that of its mirror image, L2(x) = x / |x|:

    - "concatenate": [L2(e), L2(f)], so that the cosine of two samples is the mean of the cosines of
      both (the evaluations of CR-FIQA and GraFIQs);
    - "sum": L2(e + f) (InsightFace's verification);
    - "raw_sum": e + f, not normalised: what CR-FIQA pools into templates (IJB-C);
    - "none": L2(e).

    A sample without a face, an unreadable image, or one on which the network fails is a row of NaN
    with the reason; it never ends the run. Rows do not depend on the batch size.

    Args:
        protocol: with sources.
        backbone: the network, with weights for recognition.
        augmentation: see above.
        batch_size: crops that are collected before the network is called.
        engine: "auto", "torch" or "reference".
        threads: that decode and align; None: one for each core.
        max_megapixels: larger images are refused before they are decoded.
        cache_folder: where embeddings are kept, see `EmbeddingCache`; what is there already is not
            computed again. None, or a network whose weights come from no file: nothing is kept.
        on_batch: is called after each batch with the number of samples that are done.

    Raises:
        InvalidArgumentError: a wrong argument, a protocol without sources, a network without
            embedding.
        UnavailableError: the engine cannot run.
        ResultsError: the cache folder cannot be used.
    """
    check_batch_size(batch_size)
    if augmentation not in get_args(Augmentation):
        raise InvalidArgumentError(
            f"embeddings: expected augmentation to be one of {', '.join(get_args(Augmentation))},"
            f" got {augmentation!r}; choose one of them"
        )
    size = backbone.spec.embedding_size * (2 if augmentation == "concatenate" else 1)
    if not size:
        raise InvalidArgumentError(
            f"embeddings: expected a network that gives an embedding, got {backbone.spec.name},"
            " which has none; choose a recognition network"
        )
    if len(protocol.sources) != len(protocol.samples):
        raise InvalidArgumentError(
            f"embeddings: expected {protocol.name} with the images of its {len(protocol.samples)}"
            f" samples, got {len(protocol.sources)}; give the folder of the images, or embeddings"
        )
    embedder = _Embedder(
        backbone,
        resolve_engine("embeddings", backbone, engine, runs_fused=True),
        augmentation,
    )
    finder = face_finder(protocol, max_megapixels=max_megapixels)

    def crop(number: int) -> AlignedFace | FailedImage:
        found = finder.find(protocol.sources[number], number)
        return found if isinstance(found, FailedImage) else found[0]

    def batches(todo: Sequence[int]) -> Iterator[Batch]:
        done = len(protocol.samples) - len(todo)
        ahead = work_ahead(crop, todo, waiting=2 * batch_size, threads=threads)
        faces = zip(todo, ahead, strict=True)
        while batch := list(islice(faces, batch_size)):
            numbers = [number for number, _ in batch]
            rows, reasons = embedder.embed([face for _, face in batch])
            yield numbers, rows, {numbers[i]: reason for i, reason in reasons.items()}
            done += len(batch)
            if on_batch is not None:
                on_batch(done)

    if cache_folder is not None and backbone.weights_sha256:
        facts = EmbeddingFacts(
            network=backbone.spec.name,
            weights_sha256=backbone.weights_sha256,
            bn_statistics=backbone.bn_statistics,
            precision=backbone.precision,
            engine=embedder.engine,
            device=backbone.device.type,
            augmentation=augmentation,
            max_megapixels=max_megapixels,
        )
        cache = EmbeddingCache(Path(cache_folder), facts, protocol, size)
        rows, reasons = cache.fill(batches)
    else:
        rows = np.full((len(protocol.samples), size), np.nan, np.float32)
        reasons = {}
        for numbers, of_batch, of_failed in batches(range(len(protocol.samples))):
            rows[numbers] = of_batch
            reasons |= of_failed
    return Embeddings(
        protocol.samples, rows, {protocol.samples[i]: reasons[i] for i in sorted(reasons)}
    )


@dataclass(frozen=True)
class _Embedder:
    """A network with the way in which its embeddings are made."""

    backbone: Backbone
    engine: str
    augmentation: Augmentation

    def embed(
        self, faces: Sequence[AlignedFace | FailedImage]
    ) -> tuple[Float32Array, dict[int, str]]:
        """Embeddings [n, D] of a batch, NaN where there is none, and why by position."""
        size = self.backbone.spec.embedding_size * (2 if self.augmentation == "concatenate" else 1)
        rows = np.full((len(faces), size), np.nan, np.float32)
        reasons = {
            i: f"{face.reason}: {face.message}"
            for i, face in enumerate(faces)
            if isinstance(face, FailedImage)
        }
        found = {i: face.crop for i, face in enumerate(faces) if isinstance(face, AlignedFace)}
        if not found:
            return rows, reasons
        try:
            embedded = {tuple(found): self._of_crops(list(found.values()))}
        except Exception:  # one of them is told by which crop it was, below
            embedded = {}
            for i, crop in found.items():
                try:
                    embedded[(i,)] = self._of_crops([crop])
                except Exception as error:  # out of memory, or a fault: it costs this row, no more
                    reasons[i] = f"scoring_failed: {type(error).__name__}: {error}"
        for positions, values in embedded.items():
            rows[list(positions)] = values
            for wrong in np.flatnonzero(~np.isfinite(values).all(1)):
                rows[positions[wrong]] = np.nan
                reasons[positions[wrong]] = "scoring_failed: the embedding has no direction"
        return rows, reasons

    def _of_crops(self, crops: Sequence[UInt8Array]) -> Float32Array:
        straight = as_crop_tensor(np.stack(crops), CROP_SIZE_PX)
        if self.augmentation == "none":
            return _unit(self._raw(straight)).astype(np.float32)
        both = self._raw(torch.cat([straight, straight.flip(3)]))
        e, f = both[: len(crops)], both[len(crops) :]
        if self.augmentation == "sum":
            return _unit(e + f).astype(np.float32)
        if self.augmentation == "raw_sum":
            return (e + f).astype(np.float32)
        return np.concatenate([_unit(e), _unit(f)], axis=1).astype(np.float32)

    def _raw(self, crops: Tensor) -> Float64Array:
        """Raw embeddings, float64 [n, embedding_size]."""
        batch = self.backbone.spec.input.fitted(crops)
        parts = []
        with modes_of_scoring(self.backbone.device):
            for forward, chunk in Passes(self.backbone, self.engine, batch):
                embedding = working(forward.embedding)[: chunk.stop - chunk.start]
                parts.append(embedding.double().cpu().numpy())
        return np.concatenate(parts)


def _unit(rows: Float64Array) -> Float64Array:
    """Rows with length 1; NaN where a row has no length."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.where(length > 0, rows, np.nan) / np.where(length > 0, length, 1.0)
