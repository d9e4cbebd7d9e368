"""What the tables of differences share: golden crops, noise and masks, and how a row is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
Row = Callable[[str, int, float], None]
"""Writes a row: quantity, number of crops, largest difference."""


def read(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text())


NAMES = [Path(entry["file"]).name for entry in read("crops.json")["crops"]]
CROPS = np.stack([np.asarray(Image.open(GOLDEN / "crops" / name)) for name in NAMES])


class Table:
    """A Markdown table on standard output.

    Args:
        title: its heading.
        tolerances: for the beginning of a quantity's name, the tolerance in each precision.
    """

    def __init__(self, title: str, tolerances: Mapping[str, Mapping[str, float]]) -> None:
        self._tolerances = tolerances
        write = sys.stdout.write
        write(f"# {title}\n\nLargest difference over the crops; relative unless it says absolute.")
        write(" Golden numbers are float64, but for the authors' float32.\n\n")
        write("| quantity | crops | precision | largest difference | tolerance |\n")
        write("|---|---|---|---|---|\n")

    def rows(self, precision: str) -> Row:
        return partial(self._write, precision)

    def _write(self, precision: str, quantity: str, count: int, difference: float) -> None:
        known = [v for k, v in self._tolerances.items() if quantity.startswith(k)]
        tolerance = known[0].get(precision) if known else None
        shown = "none stated" if tolerance is None else f"{tolerance:g}"
        sys.stdout.write(f"| {quantity} | {count} | {precision} | {difference:.1e} | {shown} |\n")
        sys.stdout.flush()


def faceqan_noise(golden: Mapping[str, Any], key: str) -> torch.Tensor:
    """The noise behind the golden numbers of one crop, [10, 3, 112, 112]."""
    if key == "paper_float64":
        generator = np.random.Generator(np.random.PCG64(golden[key]["numpy_seed"]))
        return torch.from_numpy(generator.uniform(-0.001, 0.001, (10, 3, 112, 112)))
    torch.manual_seed(golden["torch_seed"])
    draws = [torch.FloatTensor(3, 112, 112).uniform_(-0.001, 0.001) for _ in range(10)]
    return torch.stack(draws)


def relative(scores: torch.Tensor, expected: list[float]) -> float:
    reference = torch.tensor(expected, dtype=torch.float64)
    return (scores.double() / reference - 1).abs().max().item()


def absolute(scores: torch.Tensor, expected: list[Any]) -> float:
    reference = torch.tensor(expected, dtype=torch.float64)
    return (scores.double() - reference).abs().max().item()
