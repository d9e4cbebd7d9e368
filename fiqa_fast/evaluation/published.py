"""Values that papers print in their tables, as data, to stand beside one's own.

`published_values.csv` holds what was read, number by number, in a paper's full text (a conversion
to Markdown, not the printed page); `source` names row and column. It has the area tables of two
papers: CLIB-FIQA (CVPR 2024), Tables 1 to 3, and DQM-Face, Table 3. Rows whose labels could not be
read beyond doubt were left out: of CLIB-FIQA's Table 1 six of the pAUC and two of the AUC.

It does not have the EDC tables of GraFIQs (2 and 3), CR-FIQA (1, 2 and that of IJB-C), FaceQAN (II
and IV) and "Optimization-Based Improvement of FIQA Techniques" (I to III), because none of their
values could be verified. Bring them as a CSV file with the same columns (`read_published`). The
papers' run times are in `fiqa_fast.benchmark.papers`.

CLIB-FIQA's text defines its areas as undivided integrals, but values up to 1.014 for a limit of .3
cannot be that: they are taken as divided by limit and FNMR without discarding, as in other papers.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from pathlib import Path
from typing import TextIO

from fiqa_fast.errors import InvalidArgumentError

MEASURES = ("auc", "auc_normalised", "tar")
_FILE = Path(__file__).with_name("published_values.csv")


@dataclass(frozen=True)
class PublishedValue:
    """One number of a paper's table.

    Attributes:
        paper: its title.
        table: such as "Table 1".
        data_set: such as "LFW", as the paper calls it.
        method: the quality method, as the paper calls it.
        verification_network: what gave the comparison scores, as the paper calls it. Papers mean
            different weights by one name; `source` may say which.
        measure: "auc" (area under the EDC of the FNMR, divided by nothing), "auc_normalised" (that
            area / (FNMR without discarding * limit)) or "tar" (of templates whose samples are
            weighted by their quality, 0..1).
        fmr: 0 < fmr < 1: false match rate of the decision threshold; for "tar" the FAR.
        limit: up to which discard fraction the area goes, 0 < limit <= 1; None for "tar".
        value: at least 0, as printed.
        source: where it was read.
    """

    paper: str
    table: str
    data_set: str
    method: str
    verification_network: str
    measure: str
    fmr: float
    limit: float | None
    value: float
    source: str


COLUMNS = tuple(field.name for field in fields(PublishedValue))
_TEXTS = ("paper", "table", "data_set", "method", "verification_network", "source")


def published_values(
    *,
    data_set: str | None = None,
    method: str | None = None,
    verification_network: str | None = None,
    measure: str | None = None,
    fmr: float | None = None,
    limit: float | None = None,
    among: Sequence[PublishedValue] | None = None,
) -> tuple[PublishedValue, ...]:
    """The values that fit everything that is given; None fits all.

    Args:
        data_set, method, verification_network: names, compared by their letters and digits
            whatever their case: "cfp_fp" is "CFP-FP".
        measure: one of `MEASURES`.
        fmr, limit: compared to nine digits.
        among: values to look in, such as those of `read_published`; None: the packaged ones.

    Returns:
        Them in the order of the file; empty where none fits.

    Raises:
        InvalidArgumentError: an unknown measure.
    """
    if measure is not None and measure not in MEASURES:
        raise InvalidArgumentError(
            f"evaluate: expected measure to be one of {', '.join(MEASURES)}, got {measure!r};"
            " choose one of these"
        )
    return tuple(
        value
        for value in (_packaged_values() if among is None else among)
        if same_name(data_set, value.data_set)
        and same_name(method, value.method)
        and same_name(verification_network, value.verification_network)
        and measure in (None, value.measure)
        and _same_number(fmr, value.fmr)
        and _same_number(limit, value.limit)
    )


def same_name(wanted: str | None, name: str) -> bool:
    """Whether two names have the same letters and digits, whatever their case; None fits all."""
    return wanted is None or _letters(wanted) == _letters(name)


def read_published(path: str | Path) -> tuple[PublishedValue, ...]:
    """Reads a CSV file with the attributes of `PublishedValue` as its header (any order).

    `limit` is empty where the measure is "tar". Further columns are left alone.

    Raises:
        InvalidArgumentError: it cannot be read, a column is missing, a value is wrong or stands
            there twice (the message names the line), or there is none.
    """
    values: dict[tuple[object, ...], PublishedValue] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            for value, where in _parse(file, path):
                if values.setdefault(_cell(value), value) is not value:
                    raise InvalidArgumentError(
                        f"evaluate: expected one value for {value.method} on {value.data_set} in"
                        f" {value.table} of {value.paper}, got another one in {where}; keep one of"
                        " the two lines"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgumentError(
            f"evaluate: expected a readable CSV file of published values, got {path}: {error};"
            f" give it the header {','.join(COLUMNS)}"
        ) from error
    if not values:
        raise InvalidArgumentError(
            f"evaluate: expected published values in {path}, got a header alone; add a line for"
            " each value"
        )
    return tuple(values.values())


@cache
def _packaged_values() -> tuple[PublishedValue, ...]:
    return read_published(_FILE)


def _parse(file: TextIO, path: str | Path) -> Iterator[tuple[PublishedValue, str]]:
    reader = csv.DictReader(file, strict=True)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidArgumentError(
            f"evaluate: expected the columns {','.join(COLUMNS)} in {path}, got none named"
            f" {', '.join(missing)}; give the file a header"
        )
    for row in reader:
        where = f"line {reader.line_num} of {path}"
        if None in row or None in row.values():
            raise InvalidArgumentError(
                f"evaluate: expected as many fields as columns, got more or fewer in {where}; put"
                " texts with commas between double quotes"
            )
        yield _value({name: row[name].strip() for name in COLUMNS}, where), where


def _value(cells: dict[str, str], where: str) -> PublishedValue:
    for name in _TEXTS:
        if not cells[name]:
            raise InvalidArgumentError(
                f"evaluate: expected a text in {name}, got none in {where}; fill it in"
            )
    measure = cells["measure"]
    if measure not in MEASURES:
        raise InvalidArgumentError(
            f"evaluate: expected measure to be one of {', '.join(MEASURES)}, got {measure!r} in"
            f" {where}; correct the line"
        )
    fmr, value = _number(cells["fmr"]), _number(cells["value"])
    if not 0 < fmr < 1:
        raise InvalidArgumentError(
            f"evaluate: expected fmr to be a number with 0 < fmr < 1, got {cells['fmr']!r} in"
            f" {where}; correct the line"
        )
    limit = _limit(cells["limit"], measure, where)
    # The area of a rate is at most its width, and a TAR, which has no limit, at most 1.
    most = math.inf if measure == "auc_normalised" else limit or 1.0
    if not (math.isfinite(value) and 0 <= value <= most):
        raise InvalidArgumentError(
            f"evaluate: expected value to be a number from 0 to {most}, as {measure}, got"
            f" {cells['value']!r} in {where}; turn percentages into fractions, and call areas that"
            " were divided auc_normalised"
        )
    return PublishedValue(
        measure=measure,
        fmr=fmr,
        limit=limit,
        value=value,
        **{name: cells[name] for name in _TEXTS},
    )


def _limit(text: str, measure: str, where: str) -> float | None:
    if measure == "tar" and not text:
        return None
    limit = _number(text)
    if measure == "tar" or not 0 < limit <= 1:
        wanted = "empty" if measure == "tar" else "a number with 0 < limit <= 1"
        raise InvalidArgumentError(
            f"evaluate: expected limit to be {wanted} for {measure}, got {text!r} in {where};"
            " correct the line"
        )
    return limit


def _cell(value: PublishedValue) -> tuple[object, ...]:
    """What tells a value's place among all tables."""
    return tuple(getattr(value, name) for name in COLUMNS if name not in ("value", "source"))


@lru_cache(maxsize=4096)  # every name is compared with those of all published values
def _letters(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _same_number(wanted: float | None, number: float | None) -> bool:
    return wanted is None or (number is not None and math.isclose(wanted, number))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
