"""Columns of the table, made of what models say about themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fiqa_fast.calibration import Calibration
from fiqa_fast.client.served_models import ServedColumn
from fiqa_fast.provenance import Provenance
from fiqa_fast.rows import ScoreColumn


class ColumnMaker:
    """Makes each column once: looking for a calibration takes longer than a request does.

    Args:
        calibrations: from `read_calibrations`; they come before the packaged ones.
    """

    def __init__(self, calibrations: Sequence[Calibration] = ()) -> None:
        self._calibrations = calibrations
        self._made: dict[tuple[Provenance, str], ScoreColumn] = {}

    def column(self, served: ServedColumn) -> ScoreColumn:
        """The column for one of a model's outputs.

        Raises:
            InvalidArgumentError: several of the given calibrations fit.
        """
        if not self._calibrations:
            return _packaged_column(served.provenance, served.output)
        key = (served.provenance, served.output)
        if key not in self._made:
            self._made[key] = ScoreColumn(*key, self._calibrations)
        return self._made[key]


@lru_cache(maxsize=256)
def _packaged_column(provenance: Provenance, output: str) -> ScoreColumn:
    return ScoreColumn(provenance, output)
