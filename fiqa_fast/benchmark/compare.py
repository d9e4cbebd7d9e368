"""Finds what became slower between two results.

Times of two days, or of two machines, say little: compared are the ratios to the official-style
loop and to the machine's floor, which were timed in the same rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fiqa_fast.benchmark.results import BenchmarkResult, CaseKey, CaseResult
from fiqa_fast.errors import InvalidArgumentError, ResultsError

DEFAULT_TOLERANCE = 0.15
_DISTURBED = "unclear: something else used the machine"


class Verdict(StrEnum):
    """What became of a case."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    UNCLEAR = "unclear"
    GONE = "gone"


@dataclass(frozen=True)
class Change:
    """A case in two results.

    Attributes:
        key: the case.
        verdict: SLOWER or FASTER where every ratio that both results have changed by more than the
            tolerance, UNCLEAR where only one did (then the loop or the floor changed as well) or
            something else used the machine, GONE where the case ran before and cannot run any more.
        to_loop: new ratio / old ratio; above 1 is slower; None without a loop.
        to_floor: the same for the floor; None where it was taken from another precision.
        reason: why a case is gone or cannot be judged, or "".
    """

    key: CaseKey
    verdict: Verdict
    to_loop: float | None
    to_floor: float | None
    reason: str = ""

    @property
    def is_regression(self) -> bool:
        """Whether this must not pass."""
        return self.verdict in (Verdict.SLOWER, Verdict.GONE)


def compare_results(
    old: BenchmarkResult, new: BenchmarkResult, tolerance: float = DEFAULT_TOLERANCE
) -> list[Change]:
    """Compares the cases that both results know, the old one's order.

    Cases that the new run did not try (fewer networks, --quick) are left out.

    Args:
        old: the result to hold on to.
        new: the result to judge.
        tolerance: part by which a ratio may grow.

    Raises:
        InvalidArgumentError: a tolerance that is not above 0.
        ResultsError: no case in common.
    """
    if not tolerance > 0:
        raise InvalidArgumentError(
            f"benchmark: expected --tolerance > 0, got {tolerance!r}; 0.15 lets ratios grow by 15 %"
        )
    measured = {case.key: case for case in new.cases}
    refused = {case.key: case.reason for case in new.skipped}
    changes = []
    for case in old.cases:
        if case.key in measured:
            changes.append(_change(case, measured[case.key], tolerance))
        elif case.key in refused:
            changes.append(Change(case.key, Verdict.GONE, None, None, refused[case.key]))
    if not changes:
        raise ResultsError(
            "benchmark: expected results with cases in common, got none; run both with the same"
            " --network, --scorer, --precision, --engine, --batch-size, --threads and --device"
        )
    return changes


def _change(old: CaseResult, new: CaseResult, tolerance: float) -> Change:
    to_loop = to_floor = None
    if old.ratio_to_loop and new.ratio_to_loop:
        to_loop = new.ratio_to_loop.median / old.ratio_to_loop.median
    if old.floor_precision == new.floor_precision:
        to_floor = new.ratio_to_floor.median / old.ratio_to_floor.median
    growths = [growth for growth in (to_loop, to_floor) if growth is not None]
    slower = [growth > 1 + tolerance for growth in growths]
    faster = [growth < 1 / (1 + tolerance) for growth in growths]
    if old.is_disturbed or new.is_disturbed:
        return Change(old.key, Verdict.UNCLEAR, to_loop, to_floor, _DISTURBED)
    if growths and all(slower):
        verdict = Verdict.SLOWER
    elif growths and all(faster):
        verdict = Verdict.FASTER
    elif any(slower) or any(faster) or not growths:
        verdict = Verdict.UNCLEAR
    else:
        verdict = Verdict.SAME
    return Change(old.key, verdict, to_loop, to_floor)
