"""Runs scorers over crops, pass by pass; those on one network share each pass."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.crops import Crops, as_crop_tensor
from fiqa_fast.scorers.passes import Passes
from fiqa_fast.types import CROP_SIZE_PX

if TYPE_CHECKING:
    from fiqa_fast.scorers.base import Scorer


@dataclass(frozen=True)
class Evaluation:
    """What one scorer made of a batch.

    Attributes:
        scores: for each output asked for, [B].
        elapsed_s: time it took, without the parts of the pass that an earlier scorer had paid for.
    """

    scores: dict[str, Tensor]
    elapsed_s: float


def evaluate_together(
    scorers: Sequence[Scorer],
    crops: Crops,
    outputs: Mapping[Scorer, Sequence[str]],
    noise: Mapping[Scorer, Tensor | None] | None = None,
) -> dict[Scorer, Evaluation]:
    """Runs several scorers on one network; they share its forward pass.

    Args:
        scorers: on the same network.
        crops: as `Scorer.score` takes them.
        outputs: for each scorer, the quantities wanted.
        noise: explicit draws for the scorers that have any.

    Returns:
        To the bit what each scorer gives by itself.

    Raises:
        InvalidArgumentError: a wrong shape, dtype or noise, or scorers on different networks.
    """
    backbone = scorers[0].backbone
    if any(scorer.backbone is not backbone for scorer in scorers):
        raise InvalidArgumentError(
            "score: expected scorers on one network, got several; load it once with load_backbone"
        )
    aligned = as_crop_tensor(crops, CROP_SIZE_PX)
    noise = noise or {}
    for scorer in scorers:
        scorer._check_noise(noise.get(scorer), len(aligned))
    found: dict[Scorer, Evaluation] = {}
    for scorer in scorers:
        if scorer.graph is not None:
            begin = time.perf_counter()
            scores = scorer.graph.evaluate(aligned, outputs[scorer], noise.get(scorer))
            found[scorer] = Evaluation(dict(scores), time.perf_counter() - begin)
    by_passes = [scorer for scorer in scorers if scorer.graph is None]
    if by_passes:
        batch = backbone.spec.input.fitted(aligned)
        found |= _evaluate_passes(by_passes, batch, outputs, noise)
    return {scorer: found[scorer] for scorer in scorers}


def _evaluate_passes(
    scorers: Sequence[Scorer],
    batch: Tensor,
    outputs: Mapping[Scorer, Sequence[str]],
    noise: Mapping[Scorer, Tensor | None],
) -> dict[Scorer, Evaluation]:
    """Scores of methods on one network, from shared passes of torch."""
    backbone = scorers[0].backbone
    chunks: dict[Scorer, list[Mapping[str, Tensor]]] = {scorer: [] for scorer in scorers}
    elapsed_s = dict.fromkeys(scorers, 0.0)
    with modes_of_scoring(backbone.device):
        for engine in dict.fromkeys(scorer.pass_engine for scorer in scorers):
            group = [scorer for scorer in scorers if scorer.pass_engine == engine]
            in_order = sorted(group, key=lambda scorer: not scorer.fills_forward_pass)
            passes = Passes(backbone, engine, batch)
            for forward, chunk in passes:
                for scorer in in_order:
                    begin = _now(backbone.device)
                    given = noise.get(scorer)
                    draws = None if given is None else passes.filled(given[chunk])
                    found = scorer._evaluate(forward, outputs[scorer], draws)
                    count = chunk.stop - chunk.start
                    chunks[scorer].append({o: found[o][:count] for o in outputs[scorer]})
                    elapsed_s[scorer] += _now(backbone.device) - begin
    dtype = torch.float64 if backbone.precision == "float64" else torch.float32
    empty = torch.empty(0, dtype=dtype, device=backbone.device)
    return {
        scorer: Evaluation(
            {o: torch.cat([empty, *(c[o].to(dtype) for c in parts)]) for o in outputs[scorer]},
            elapsed_s[scorer],
        )
        for scorer, parts in chunks.items()
    }


@contextmanager
def modes_of_scoring(device: torch.device) -> Iterator[None]:
    """Keeps the caller's modes outside.

    Inference mode forbids the gradients that some methods need, and autocast would change the
    precision that the result claims. So would TF32, which torch's convolutions use on CUDA unless
    told otherwise: 10 bits of mantissa under the name of float32. The switch is one for the whole
    process; it is set back at the end.
    """
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            modes.enter_context(exact_convolutions())
        yield


def exact_convolutions() -> AbstractContextManager[None]:
    """cuDNN in full float32, with algorithms that add in the same order on every run."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True,
        benchmark=False,
        deterministic=True,
        allow_tf32=False,
        fp32_precision="ieee",
    )
    return flags


def _now(device: torch.device) -> float:
    """Seconds, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
