"""What all models that score crops share: many requests in one pass, and one answer for each."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton_python_backend_utils as pb_utils  # exists inside Triton only
from torch import Tensor

from fiqa_fast.serving.models.requests import FAILED, crops_of, failure, response, texts_of

Outputs = Mapping[str, Tensor]
"""By name of the model's output: float32 [B, ...]."""


@dataclass(frozen=True)
class _Work:
    """The crops of one request.

    Attributes:
        crops: uint8 [n, 112, 112, 3]: those that are to be scored.
        wanted: bool [B]: which of the request's crops they are.
    """

    crops: Tensor
    wanted: Tensor


class CropsModel(ABC):
    """A model with the input `crops` whose outputs have a row for each crop.

    Input `crops`: uint8 [B, 112, 112, 3], RGB. Optional input `status`: BYTES [B, 1]; crops whose
    status is "failed" cost nothing and get NaN (in the ensemble: images without a face).

    Attributes:
        name: of the model.
        device: where it works: "cpu" or "cuda:N".
    """

    name: str
    device: str

    @abstractmethod
    def score(self, crops: Tensor) -> Outputs:
        """Scores uint8 [B, 112, 112, 3] on the model's device; B is 1 or more."""

    @property
    @abstractmethod
    def widths(self) -> Mapping[str, int]:
        """For each output the number of its columns."""

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers each request; what is wrong with one does not touch the others."""
        answers: dict[int, Any] = {}
        work: dict[int, _Work] = {}
        for number, request in enumerate(requests):
            try:
                work[number] = self._work(request)
            except Exception as error:
                answers[number] = failure(error)
        for number, outputs in self._score_all(work).items():
            answers[number] = (
                failure(outputs)
                if isinstance(outputs, Exception)
                else response(self._tensors(outputs, work[number].wanted))
            )
        return [answers[number] for number in range(len(requests))]

    def _work(self, request: Any) -> _Work:
        crops = crops_of(request)
        status = texts_of(request, "status")
        scored = [True] * len(crops) if status is None else [s != FAILED.encode() for s in status]
        wanted = torch.tensor(scored, device=self.device)
        return _Work(crops.to(self.device)[wanted], wanted)

    def _score_all(self, work: Mapping[int, _Work]) -> dict[int, Outputs | Exception]:
        """The outputs for each request; where they fail together, each by itself."""
        sizes = [len(w.crops) for w in work.values()]
        if not sum(sizes):
            return {number: self._nothing() for number in work}
        try:
            together = self.score(torch.cat([w.crops for w in work.values()]))
        except Exception:
            return {number: self._score_alone(w.crops) for number, w in work.items()}
        parts = {name: torch.split(rows, sizes) for name, rows in together.items()}
        return {
            number: {name: rows[i] for name, rows in parts.items()} for i, number in enumerate(work)
        }

    def _score_alone(self, crops: Tensor) -> Outputs | Exception:
        """The outputs for one request, crop by crop; the error where none could be scored."""
        rows: list[Outputs] = [self._nothing()]
        errors = []
        for crop in crops:
            try:
                rows.append(self.score(crop[None]))
            except Exception as error:
                pb_utils.Logger.log_error(f"{self.name}: {type(error).__name__}: {error}")
                errors.append(error)
                rows.append({n: self._empty(1, width) for n, width in self.widths.items()})
        if errors and len(errors) == len(crops):
            return errors[0]
        return {name: torch.cat([row[name] for row in rows]) for name in self.widths}

    def _tensors(self, outputs: Outputs, wanted: Tensor) -> list[Any]:
        tensors = []
        for name, rows in outputs.items():
            filled = self._empty(len(wanted), self.widths[name])
            filled[wanted] = rows.float()
            tensors.append(pb_utils.Tensor.from_dlpack(name, filled))
        return tensors

    def _nothing(self) -> Outputs:
        return {name: self._empty(0, width) for name, width in self.widths.items()}

    def _empty(self, count: int, width: int) -> Tensor:
        return torch.full((count, width), math.nan, device=self.device)
