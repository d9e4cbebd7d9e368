"""The papers' tables of run times, with this machine's times beside them.

The papers measured on an RTX 3090, one image at a time, most of them on networks of iresnet100's
size. Methods are shown where their weights are at hand; a time on other weights would be that of
another network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fiqa_fast.benchmark.cases import Workload
from fiqa_fast.benchmark.results import BenchmarkResult, CaseResult

FACEQAN_COPIES = (2, 5, 10, 50, 100)
_NETWORKS = ("iresnet100", "magface-iresnet100", "iresnet50", "iresnet18", "sface")
"""The papers' networks first: of several, the first one is shown."""
_DEFAULTS = {"faceqan": {"k": 10}}


@dataclass(frozen=True)
class PaperTime:
    """A row of a paper's table.

    Attributes:
        method: as the paper calls it.
        paper_ms: for one image.
        spread_ms: its standard deviation where the paper gives one.
        scorer: the method's name here.
        options: its parameters.
    """

    method: str
    paper_ms: float
    spread_ms: float | None
    scorer: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        title: paper and table.
        note: what must be known to read it.
        rows: in the paper's order.
    """

    title: str
    note: str
    rows: tuple[PaperTime, ...]


@dataclass(frozen=True)
class PassCount:
    """How many images a method sends through its network, for one face.

    Attributes:
        method: in words.
        official: forward passes, backward passes to the input, backward passes to the weights.
        needed: forward passes and backward passes to the input that give the same numbers.
        note: what a pass is here.
    """

    method: str
    official: tuple[int, int, int]
    needed: tuple[int, int]
    note: str = ""


TABLES = (
    PaperTable(
        "FaceQAN, Table III",
        "Seconds on an RTX 3090, here in ms.",
        (
            PaperTime("FaceQnet", 43.2, None, "faceqnet"),
            PaperTime("SDD-FIQA", 0.6, None, "sdd-fiqa"),
            PaperTime("PFE", 49.3, None, "pfe"),
            PaperTime("PCNet", 17.5, None, "pcnet"),
            PaperTime("MagFace", 1.1, None, "magface"),
            PaperTime("LightQNet", 53.5, None, "lightqnet"),
            PaperTime("SER-FIQ", 112.5, None, "ser-fiq"),
            PaperTime("FaceQAN, k=2", 210.0, None, "faceqan", {"k": 2}),
            PaperTime("FaceQAN, k=5", 230.0, None, "faceqan", {"k": 5}),
            PaperTime("FaceQAN, k=10", 300.0, None, "faceqan", {"k": 10}),
            PaperTime("FaceQAN, k=50", 1000.0, None, "faceqan", {"k": 50}),
            PaperTime("FaceQAN, k=100", 1870.0, None, "faceqan", {"k": 100}),
        ),
    ),
    PaperTable(
        "Optimization-Based Improvement of FIQA Techniques, Table IV",
        "On an RTX 3090. The table's unit reads microseconds, its values are milliseconds. Its own"
        " regressor takes 10.6 to 11.4 ms throughout.",
        (
            PaperTime("CR-FIQA", 11.5, 5.0, "cr-fiqa"),
            PaperTime("FaceQAN", 346.5, 9.0, "faceqan", {"k": 10}),
            PaperTime("SER-FIQ", 125.2, 19.5, "ser-fiq"),
            PaperTime("PCNet", 14.5, 1.7, "pcnet"),
            PaperTime("MagFace", 11.5, 4.9, "magface"),
            PaperTime("SDD-FIQA", 5.7, 5.0, "sdd-fiqa"),
        ),
    ),
)

PASSES = (
    PassCount("GraFIQs, image", (1, 1, 0), (1, 1), "gradients down to the image give all outputs"),
    PassCount("GraFIQs, b2", (1, 1, 0), (1, 1), "backward through what stands behind b2 only"),
    PassCount("GraFIQs, b4 of an iresnet", (1, 1, 0), (1, 0), "no layer with weights behind b4"),
    PassCount("FaceQAN, k=10, l=5", (53, 51, 51), (52, 40)),
    PassCount("SER-FIQ, T=100", (1, 0, 0), (1, 0), "and the last layer 100 times"),
    PassCount("one learned forward pass", (1, 0, 0), (1, 0), "CR-FIQA, MagFace, eDifFIQA, ..."),
)
"""What the official code does, and what is needed."""


def paper_workloads() -> list[Workload]:
    """What must be measured for the tables, beyond the usual cases. Its loops take minutes."""
    ks = [Workload(("faceqan",), "score", {"k": k}, with_loop=False) for k in FACEQAN_COPIES]
    return [*ks, Workload(("ser-fiq",), "score")]


def find_case(row: PaperTime, result: BenchmarkResult) -> CaseResult | None:
    """The case that a paper's row is compared with: one face at a time, the largest network.

    Of several ways to compute it the fastest.
    """
    wanted = {**_DEFAULTS.get(row.scorer, {}), **row.options}
    fitting = [
        case
        for case in result.cases
        if case.key.scorer == row.scorer
        and case.key.batch_size == 1
        and {**_DEFAULTS.get(row.scorer, {}), **json.loads(case.key.options)} == wanted
    ]
    return min(fitting, key=_preference, default=None)


def missing_reason(row: PaperTime, skipped: Sequence[str]) -> str:
    """Why there is no number of ours in a row.

    Args:
        row: of a paper's table.
        skipped: methods that the run tried in vain.
    """
    if row.scorer in skipped:
        return "cannot run here"
    if row.scorer in ("faceqan", "ser-fiq"):
        return "not measured; run with --papers"
    return "no weights here"


def _preference(case: CaseResult) -> tuple[int, float]:
    name = case.key.network
    place = _NETWORKS.index(name) if name in _NETWORKS else len(_NETWORKS)
    return place, case.ours_ms.median
