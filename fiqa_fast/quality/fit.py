"""Builds a calibration from the scores of a reference set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.calibration import Calibration
from fiqa_fast.quality.reference import ReferenceScores
from fiqa_fast.quality.scales import (
    Percentiles,
    Scale,
    Sigmoid,
    fit_percentiles,
    fit_sigmoid,
)
from fiqa_fast.types import Float64Array

_FITS: Mapping[str, Callable[[Float64Array], Scale]] = MappingProxyType(
    {Percentiles.kind: fit_percentiles, Sigmoid.kind: fit_sigmoid}
)


def check_kind(kind: str) -> None:
    """Raises InvalidArgumentError unless `kind` names a kind of calibration."""
    if kind not in _FITS:
        raise InvalidArgumentError(
            f"calibrate: expected kind to be one of {', '.join(_FITS)}, got {kind!r};"
            " choose one of them"
        )


def fit_calibration(
    reference: ReferenceScores, *, reference_set: str, kind: str = "percentile"
) -> Calibration:
    """Builds the calibration of one source.

    Args:
        reference: the scores of the reference faces.
        reference_set: what the faces are, in words.
        kind: "percentile" or "sigmoid"; see `Percentiles` and `Sigmoid`.

    Raises:
        InvalidArgumentError: an unknown kind, or scores that it cannot be fitted to.
    """
    check_kind(kind)
    try:
        scale = _FITS[kind](reference.raw_scores)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{reference.source.name}: {error}") from error
    return Calibration(
        source=reference.source,
        scale=scale,
        reference_set=reference_set,
        face_count=len(reference.raw_scores),
        fiqa_fast_version=reference.version,
    )
