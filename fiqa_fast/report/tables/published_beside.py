"""Values that papers print, for the cells of one table."""

from __future__ import annotations

from collections.abc import Sequence

from fiqa_fast.evaluation.published import PublishedValue, published_values
from fiqa_fast.report.tables.model import Published, Source
from fiqa_fast.report.text import make_printable

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class PublishedBeside:
    """Finds published values by names and gives each of their tables a mark.

    Args:
        values: to look in; of two values of one table for one cell the first is taken.
    """

    def __init__(self, values: Sequence[PublishedValue]) -> None:
        self._values = values
        self._near: dict[tuple[str, str], tuple[PublishedValue, ...]] = {}
        self._sources: dict[str, Source] = {}

    def find(
        self,
        *,
        data_set: str,
        method: str,
        network: str,
        measure: str,
        fmr: float,
        limit: float | None = None,
        relative: bool = False,
    ) -> tuple[Published, ...]:
        """What papers print for a cell, one value for each of their tables.

        Args:
            data_set, method, network: names as they were measured.
            measure, fmr, limit: as of `PublishedValue`.
            relative: whether they compare with the cell's `relative` rather than its `value`.
        """
        if (data_set, network) not in self._near:
            self._near[data_set, network] = published_values(
                data_set=data_set, verification_network=network, among=self._values
            )
        fitting = published_values(
            method=method,
            measure=measure,
            fmr=fmr,
            limit=limit,
            among=self._near[data_set, network],
        )
        found: dict[str, Published] = {}
        for value in fitting:
            source = self._source(f"{value.paper}, {value.table}")
            found.setdefault(source.mark, Published(value.value, source, relative))
        return tuple(found.values())

    @property
    def sources(self) -> tuple[Source, ...]:
        """Of all values that were found, in the order of their marks."""
        return tuple(self._sources.values())

    def _source(self, text: str) -> Source:
        text = make_printable(text)
        return self._sources.setdefault(text, Source(_mark(len(self._sources)), text))


def _mark(number: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    before, place = divmod(number, len(_LETTERS))
    return (_mark(before - 1) if before else "") + _LETTERS[place]
