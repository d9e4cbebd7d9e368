"""Tables in the layout of papers, with the values that papers print beside the measured ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fiqa_fast.evaluation.inputs import GIVEN_SCORES
from fiqa_fast.evaluation.published import PublishedValue, published_values, same_name
from fiqa_fast.evaluation.result import Area, CurveRecord, EvaluationResult
from fiqa_fast.report.choices import POLICIES, RULES, threshold_text
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.tables.areas import area_cell
from fiqa_fast.report.tables.model import (
    DASH,
    Cell,
    Row,
    Table,
    columns_in_groups,
    mark_best,
    number_cell,
)
from fiqa_fast.report.tables.optimised_pairs import find_pairs
from fiqa_fast.report.tables.paper_layouts import IN_COLUMNS, LAYOUTS, Layout
from fiqa_fast.report.tables.paper_templates import paper_template_tables
from fiqa_fast.report.tables.published_beside import PublishedBeside
from fiqa_fast.report.text import make_printable

_NO_NETWORK = ("", "none")
"""Quality networks of methods that use none; "" also where it is not known."""


@dataclass(frozen=True)
class _Measured:
    """An area that a layout shows."""

    curve: CurveRecord
    area: Area
    fmr: float
    limit: float

    @property
    def network(self) -> str:
        return make_printable(self.curve.verification_network) or "not named"

    @property
    def cross_model(self) -> bool | None:
        """Whether another network assessed than verifies, by their names.

        None where either is not known, or no network assessed.
        """
        assessed, verifies = self.curve.quality_network, self.curve.verification_network
        if assessed in _NO_NETWORK or verifies in ("", GIVEN_SCORES):
            return None
        return not same_name(assessed, verifies)

    def column(self, layout: Layout) -> str:
        labels = {
            "network": self.network,
            "fmr": threshold_text(self.fmr),
            "limit": f"up to {self.limit:g}",
        }
        return labels[layout.column]

    def options(self, layout: Layout) -> dict[str, str]:
        """What tells the tables of a layout apart."""
        area = RULES[layout.rule] + (", normalised" if layout.normalised else "")
        if layout.column != "limit":
            area += f", up to {self.limit:g}"
        return {
            "Layout": layout.title,
            "Recognition network": IN_COLUMNS if layout.column == "network" else self.network,
            "Operating point": IN_COLUMNS if layout.column == "fmr" else threshold_text(self.fmr),
            "Measure": f"area by {area}",
        }


def paper_tables(
    result: EvaluationResult, names: MethodNames, published: Sequence[PublishedValue] = ()
) -> list[Table]:
    """The tables of every layout whose records are there; then those of templates.

    Args:
        result: what was found.
        names: of its methods.
        published: values that stand beside the measured ones, as the packaged values do; of two for
            one cell of one paper's table, these are taken.
    """
    values = (*published, *published_values())
    tables = []
    for layout in LAYOUTS:
        found: dict[tuple[tuple[str, str], ...], list[_Measured]] = {}
        for measured in _measured(result.curves, layout):
            found.setdefault(tuple(measured.options(layout).items()), []).append(measured)
        for options, members in found.items():
            fitting = _of_models(members, layout)
            table = _table(dict(options), fitting, layout, names, PublishedBeside(values))
            if table.rows:
                tables.append(table)
    return tables + paper_template_tables(result.templates, PublishedBeside(values))


def _measured(curves: Sequence[CurveRecord], layout: Layout) -> list[_Measured]:
    """What a layout shows, in its order of rates and limits."""
    usable = [
        curve
        for curve in curves
        if curve.error == "fnmr"
        and curve.pair_quality == "min"
        and curve.threshold_policy == layout.threshold_policy
        and curve.fmr is not None
    ]
    return [
        _Measured(curve, area, fmr, limit)
        for fmr in layout.fmrs
        for limit in layout.limits
        for curve in usable
        if curve.fmr is not None and math.isclose(curve.fmr, fmr)
        for area in curve.areas
        if area.rule == layout.rule and math.isclose(area.limit, limit)
    ]


def _of_models(members: Sequence[_Measured], layout: Layout) -> Sequence[_Measured]:
    """Those of a table that the layout has; none where it has no such table."""
    models = {m.cross_model for m in members}
    if layout.cross_model is True:
        return [m for m in members if m.cross_model is not False] if True in models else []
    if layout.cross_model is False and True in models and False not in models:
        return []
    return members


def _table(
    options: Mapping[str, str],
    members: Sequence[_Measured],
    layout: Layout,
    names: MethodNames,
    beside: PublishedBeside,
) -> Table:
    """The table of these; without rows where there are none, or no pairs for a layout of pairs."""
    methods = [name for _, name in names.numbered(names.of_curve(m.curve) for m in members)]
    pairs = find_pairs(methods) if layout.in_pairs else []
    if layout.in_pairs:
        methods = list(dict.fromkeys(name for pair in pairs for name in pair))
        members = [m for m in members if names.of_curve(m.curve) in methods]
    cells: dict[str, dict[tuple[str, str], Cell]] = {name: {} for name in methods}
    for measured in members:
        place = (make_printable(measured.curve.data_set), measured.column(layout))
        cells[names.of_curve(measured.curve)][place] = _cell(measured, layout, beside)
    for before, after in pairs:
        cells[after] |= {
            place: replace(cell, change=_change(cells[before].get(place), cell))
            for place, cell in cells[after].items()
        }
    columns = columns_in_groups(
        (make_printable(m.curve.data_set), m.column(layout)) for m in members
    )
    rows = [
        Row((name,), tuple(cells[name].get((c.group, c.label), Cell(DASH)) for c in columns))
        for name in methods
    ]
    return Table(
        name="papers",
        options=options,
        caption=_caption(members, layout),
        heads=("Method",),
        columns=columns,
        rows=mark_best(rows, smallest=[True] * len(columns)),
        remark=_remark(members, layout, names),
        sources=beside.sources,
    )


def _cell(measured: _Measured, layout: Layout, beside: PublishedBeside) -> Cell:
    """The number and what papers print for it: plain beside plain, normalised beside normalised."""
    curve, area = measured.curve, measured.area
    if layout.normalised:
        cell = number_cell(area.normalised)
        compared = {"auc_normalised": cell.value}
    else:
        cell = area_cell(area)
        compared = {"auc": cell.value, "auc_normalised": cell.relative}
    published = [
        value
        for measure, number in compared.items()
        if number is not None
        for value in beside.find(
            data_set=curve.data_set,
            method=curve.method,
            network=curve.verification_network,
            measure=measure,
            fmr=measured.fmr,
            limit=measured.limit,
            relative=measure == "auc_normalised" and not layout.normalised,
        )
    ]
    return replace(cell, published=tuple(published))


def _change(before: Cell | None, after: Cell) -> float | None:
    """By which part of itself a number changed."""
    if before is None or not before.value or after.value is None:
        return None
    return after.value / before.value - 1


def _caption(members: Sequence[_Measured], layout: Layout) -> str:
    policy = POLICIES[layout.threshold_policy]
    caption = f"In the layout of {layout.title}: area under the FNMR EDC by {RULES[layout.rule]}"
    caption += f"{', normalised' if layout.normalised else ''}, threshold {policy}"
    known = {m.cross_model for m in members} - {None}
    models = [
        word for cross, word in ((False, "same-model"), (True, "cross-model")) if cross in known
    ]
    return "; ".join(filter(None, (caption, " and ".join(models))))


def _remark(members: Sequence[_Measured], layout: Layout, names: MethodNames) -> str:
    """Which rows of a cross-model table are of no known network."""
    unknown = dict.fromkeys(names.of_curve(m.curve) for m in members if m.cross_model is None)
    if layout.cross_model is not True or not unknown:
        return ""
    return f"Of no network, or of one that is not known: {', '.join(unknown)}."
