"""The areas under the curves, printed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from fiqa_fast.evaluation.result import Area, CurveRecord


def print_areas(curves: Sequence[CurveRecord], console: Console) -> None:
    """A table for each data set, network and policy: areas over that of random discarding.

    The area up to the largest limit is shown, divided by that of a constant error rate: below 1 the
    method helps.
    """
    groups = dict.fromkeys((c.data_set, c.verification_network, c.threshold_policy) for c in curves)
    for data_set, network, policy in groups:
        own = [
            c
            for c in curves
            if (c.data_set, c.verification_network, c.threshold_policy)
            == (data_set, network, policy)
            and c.error == "fnmr"
        ]
        points = dict.fromkeys(_point(c) for c in own)
        limit = own[0].areas[-1].limit
        table = Table(
            title=f"{data_set}, {network}: area under the FNMR up to {limit:g} over that of random"
            f" discarding, threshold {policy}",
            title_justify="left",
        )
        table.add_column("method")
        for fmr, threshold in points:
            table.add_column(
                f"FMR {fmr:g}" if fmr is not None else f"threshold {threshold:g}", justify="right"
            )
        for method in dict.fromkeys(c.method for c in own):
            cells = [
                _cell(c.areas[-1])
                for point in points
                for c in own
                if c.method == method and _point(c) == point
            ]
            table.add_row(method, *cells)
        console.print(table)


def _point(curve: CurveRecord) -> tuple[float | None, float]:
    """The FMR; or the threshold, where that was given."""
    return curve.fmr, curve.decision_threshold if curve.fmr is None else 0.0


def _cell(area: Area) -> str:
    if area.normalised is None:
        return "no errors"
    text = f"{area.normalised:.3f}"
    if area.normalised_low is None or area.normalised_high is None:
        return text
    return f"{text} [{area.normalised_low:.3f}, {area.normalised_high:.3f}]"
