"""CR-FIQA's table of IJB-C: templates whose images are weighted by quality, beside its values.

The arrangement follows a description, the FARs are those of the paper. Its table itself could not
be read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from fiqa_fast.evaluation.result import TemplateRecord
from fiqa_fast.evaluation.templates import FARS
from fiqa_fast.report.tables.model import (
    DASH,
    Cell,
    Row,
    Table,
    columns_in_groups,
    mark_best,
    number_cell,
)
from fiqa_fast.report.tables.paper_layouts import IN_COLUMNS
from fiqa_fast.report.tables.published_beside import PublishedBeside
from fiqa_fast.report.text import make_printable

_UNWEIGHTED = "no weighting"


def paper_template_tables(
    records: Sequence[TemplateRecord], beside: PublishedBeside
) -> list[Table]:
    """One table of all data sets and networks; none without a TAR at one of the FARs."""
    cells: dict[str, dict[tuple[str, str], Cell]] = {}
    places: list[tuple[str, str]] = []
    for far in FARS:
        for record in records:
            tar = _tar(record, far)
            if tar is None:
                continue
            place = (_group(record), f"FAR {far:g}")
            places.append(place)
            weighting = make_printable(record.weighting) or _UNWEIGHTED
            cells.setdefault(weighting, {})[place] = _cell(record, far, tar, beside)
    if not places:
        return []
    columns = columns_in_groups(places)
    rows = [
        Row((name,), tuple(found.get((c.group, c.label), Cell(DASH)) for c in columns))
        for name, found in cells.items()
    ]
    return [
        Table(
            name="papers",
            options={
                "Layout": "CR-FIQA, templates",
                "Recognition network": IN_COLUMNS,
                "Operating point": IN_COLUMNS,
                "Measure": "TAR at FAR",
            },
            caption="In the layout of CR-FIQA's table of IJB-C: TAR of templates pooled by quality",
            heads=("Weighting",),
            columns=columns,
            rows=mark_best(rows, smallest=[False] * len(columns)),
            sources=beside.sources,
        )
    ]


def _group(record: TemplateRecord) -> str:
    return make_printable(f"{record.data_set}, {record.verification_network}")


def _tar(record: TemplateRecord, far: float) -> float | None:
    """At a FAR, which the record has as text such as "0.0001" or "1e-05"."""
    return next((tar for text, tar in record.tar_at_far.items() if _is(text, far)), None)


def _is(text: str, far: float) -> bool:
    try:
        return math.isclose(float(text), far)
    except ValueError:
        return False


def _cell(record: TemplateRecord, far: float, tar: float, beside: PublishedBeside) -> Cell:
    cell = number_cell(tar)
    if cell.value is None:
        return cell
    published = beside.find(
        data_set=record.data_set,
        method=record.weighting or _UNWEIGHTED,
        network=record.verification_network,
        measure="tar",
        fmr=far,
    )
    return replace(cell, published=published)
