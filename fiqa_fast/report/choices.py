"""What a reader chooses between: figures and tables under the names of their options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from fiqa_fast.evaluation.result import CurveRecord
from fiqa_fast.report.text import format_number, make_printable

POLICIES = {"fixed": "fixed", "per_discard": "anew at each step"}
"""Names of the threshold policies."""
RULES = {"trapezoid": "trapezoids", "step": "steps"}
"""Names of the rules for areas."""

Options = Mapping[str, str]


@dataclass(frozen=True)
class Figure:
    """One drawing that can be chosen.

    Attributes:
        options: what the reader chooses it by, the same names for all of a group.
        caption: below it.
        drawing: an `<svg>` element.
        numbers: of the methods that are in it.
    """

    options: Options
    caption: str
    drawing: Markup
    numbers: tuple[int, ...] = ()

    @property
    def heading(self) -> str:
        """Its options in words."""
        return describe(self.options)


def describe(options: Options) -> str:
    """Options in words, for readers without a script."""
    return " · ".join(f"{name}: {value}" for name, value in options.items())


def options_json(options: Options) -> str:
    """Options for the page's script."""
    return json.dumps(dict(options), ensure_ascii=False)


def threshold_text(fmr: float | None, decision_threshold: float | None = None) -> str:
    """ "FMR 0.001", or the threshold itself where that was given."""
    if fmr is not None:
        return f"FMR {fmr:g}"
    if decision_threshold is None:
        return "given"
    return f"threshold {format_number(decision_threshold)}"


def area_text(rule: str, limit: float) -> str:
    """ "steps, up to 0.2" """
    return f"{RULES.get(rule, rule)}, up to {limit:g}"


def curve_options(curve: CurveRecord) -> dict[str, str]:
    """What tells the pictures of curves apart."""
    return {
        "Data set": make_printable(curve.data_set),
        "Recognition network": make_printable(curve.verification_network) or "not named",
        "Operating point": threshold_text(curve.fmr, curve.decision_threshold),
        "Threshold": POLICIES.get(curve.threshold_policy, curve.threshold_policy),
        "Error": curve.error.upper(),
        "Pair quality": make_printable(curve.pair_quality),
    }


def varying(all_options: Iterable[Options]) -> set[str]:
    """Names of the options that have more than one value."""
    seen: dict[str, set[str]] = {}
    for options in all_options:
        for name, value in options.items():
            seen.setdefault(name, set()).add(value)
    return {name for name, values in seen.items() if len(values) > 1}
