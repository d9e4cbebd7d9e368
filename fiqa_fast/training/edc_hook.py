"""Error-versus-discard curves while a network learns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch

from fiqa_fast.evaluation.face_finder import face_finder
from fiqa_fast.evaluation.inputs import EvaluationSettings, MethodScores, Verification
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.run import evaluate_protocol
from fiqa_fast.evaluation.similarity import cosine_of_pairs
from fiqa_fast.scorers.crops import as_crop_tensor
from fiqa_fast.training.network import QualityNetwork
from fiqa_fast.types import CROP_SIZE_PX, AlignedFace, FailedImage, Float32Array, Float64Array
from fiqa_fast.work_ahead import work_ahead

SELF = "self"
"""Stands for the network in training where it verifies, too."""


class EdcHook:
    """Evaluates the network in training on a data set: how well it orders samples by quality.

    Called with a step, it gives for each recognition network "edc/DATA_SET/NETWORK/fmr-FMR/fnmr",
    the FNMR at the threshold of an FMR, and ".../area-LIMIT", the area under the FNMR over the
    discard fraction at this threshold, over that of random discarding (below 1 the quality helps;
    there is none where no comparison is wrong). Samples without a face are discarded first.

    Args:
        network: in training; it is left in the mode in which it was.
        protocol: the data set.
        verifications: comparison scores by networks that stay as they are; empty: the network in
            training compares the samples itself, by the cosine of its embeddings.
        fmr: the false match rate that decides the threshold.
        limits: discard fractions up to which the area goes, of `evaluation.run.AREAS["fixed"]`.
        batch_size: of a pass.
    """

    def __init__(
        self,
        network: QualityNetwork,
        protocol: Protocol,
        *,
        verifications: Sequence[Verification] = (),
        fmr: float = 1e-3,
        limits: Sequence[float] = (0.2, 0.3),
        batch_size: int = 64,
    ) -> None:
        self._network, self._protocol = network, protocol
        self._verifications = verifications
        self._settings = EvaluationSettings(
            fmrs=(fmr,), threshold_policies=("fixed",), missing="lowest"
        )
        self._limits, self._batch_size = tuple(limits), batch_size

    def __call__(self, step: int) -> dict[str, float]:
        """The areas of the network as it is."""
        embeddings, qualities = self._look()
        a, b = self._protocol.sample_a, self._protocol.sample_b
        verifications = self._verifications or [
            Verification(SELF, cosine_of_pairs(embeddings, a, b))
        ]
        method = MethodScores("quality", "", higher_is_better=True, raw_scores=qualities)
        result = evaluate_protocol(self._protocol, [method], verifications, self._settings)
        found: dict[str, float] = {}
        for curve in result.curves:
            name = f"edc/{curve.data_set}/{curve.verification_network}/fmr-{curve.fmr:g}"
            found[f"{name}/fnmr"] = curve.error_rate[0]
            for area in curve.areas:
                if area.limit in self._limits and area.normalised is not None:
                    found[f"{name}/area-{area.limit:g}"] = area.normalised
        return found

    @torch.no_grad()
    def _look(self) -> tuple[Float32Array, Float64Array]:
        """Embeddings [S, D] and qualities [S] of the samples, NaN where there is no face."""
        network, sources = self._network, self._protocol.sources
        count, finder = len(self._protocol.samples), face_finder(self._protocol)
        embeddings = np.full((count, network.backbone.spec.embedding_size), np.nan, np.float32)
        qualities = np.full(count, np.nan)
        was_training = network.training
        network.eval()

        def find(number: int) -> tuple[int, AlignedFace | FailedImage]:
            found = finder.find(sources[number], number)
            return number, found if isinstance(found, FailedImage) else found[0]

        ahead = work_ahead(find, range(count), waiting=2 * self._batch_size)
        while batch := list(islice(ahead, self._batch_size)):
            faces = {n: face.crop for n, face in batch if isinstance(face, AlignedFace)}
            if faces:
                crops = as_crop_tensor(np.stack(list(faces.values())), CROP_SIZE_PX)
                embedding, quality = network(crops.to(network.backbone.device))
                embeddings[list(faces)] = embedding.float().cpu().numpy()
                qualities[list(faces)] = quality.double().cpu().numpy()
        network.train(was_training)
        return embeddings, qualities
