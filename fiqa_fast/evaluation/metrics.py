"""Metrics that collect comparisons batch by batch: `update`, `compute`, `plot`.

Thin classes around the functions of `edc`, `error_rates` and `areas`, for loops that do not have
all comparisons at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.evaluation.areas import area_under_edc
from fiqa_fast.evaluation.edc import (
    EdcCurve,
    fixed_threshold_curve,
    per_discard_curve,
    threshold_at_fmr,
)
from fiqa_fast.evaluation.error_rates import DetCurve, equal_error_rate, split_scores, trace_det
from fiqa_fast.evaluation.pair_quality import pair_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class _Collected:
    """Columns that grow by batches."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._batches: list[tuple[np.ndarray, ...]] = []

    def add(self, *columns: npt.ArrayLike) -> None:
        batch = tuple(np.asarray(column) for column in columns)
        if any(column.shape != batch[0].shape or column.ndim != 1 for column in batch):
            raise InvalidArgumentError(
                f"update: expected {', '.join(self._names)} of the same shape [N], got"
                f" {', '.join(str(list(column.shape)) for column in batch)}; give one of each for"
                " every comparison"
            )
        self._batches.append(batch)

    def columns(self) -> tuple[np.ndarray, ...]:
        if not self._batches:
            raise InvalidArgumentError(
                "compute: expected comparisons, got none; call update with some first"
            )
        return tuple(np.concatenate(column) for column in zip(*self._batches, strict=True))


class ErrorVersusDiscard:
    """The EDC curve of comparisons that arrive in batches.

    Args:
        fmr: false match rate that decides the threshold; or
        decision_threshold: a threshold that is given (policy "fixed" only).
        threshold_policy: "fixed" or "per_discard"; see `fiqa_fast.evaluation.edc`.
        error: "fnmr" or "fmr".
        pair_quality: "min", "mean" or "product".

    Raises:
        InvalidArgumentError: neither or both of fmr and decision_threshold, or a threshold for
            "per_discard".

    Example:
        >>> metric = ErrorVersusDiscard(fmr=1e-3)
        >>> for batch in batches:  # doctest: +SKIP
        ...     metric.update(batch.quality_a, batch.quality_b, batch.scores, batch.mated)
        >>> metric.area(0.2)  # doctest: +SKIP
        0.0123
    """

    def __init__(
        self,
        *,
        fmr: float | None = None,
        decision_threshold: float | None = None,
        threshold_policy: str = "fixed",
        error: str = "fnmr",
        pair_quality: str = "min",
    ) -> None:
        by_discard = threshold_policy == "per_discard"
        if (fmr is None) == (decision_threshold is None) or (by_discard and fmr is None):
            raise InvalidArgumentError(
                "ErrorVersusDiscard: expected fmr, or decision_threshold with threshold_policy"
                f" 'fixed', got {fmr!r}, {decision_threshold!r} and {threshold_policy!r}; give one"
            )
        self._fmr, self._decision_threshold = fmr, decision_threshold
        self._by_discard, self._error, self._pair_quality = by_discard, error, pair_quality
        self.reset()

    def update(
        self,
        quality_a: npt.ArrayLike,
        quality_b: npt.ArrayLike,
        comparison_scores: npt.ArrayLike,
        mated: npt.ArrayLike,
    ) -> None:
        """Adds comparisons.

        Args:
            quality_a, quality_b: [N], qualities of the two samples, higher is better; NaN leaves
                the comparison out.
            comparison_scores: [N], finite; higher is more alike.
            mated: bool [N].
        """
        self._collected.add(quality_a, quality_b, comparison_scores, np.asarray(mated, dtype=bool))

    def compute(self) -> EdcCurve:
        """The curve of all comparisons so far."""
        quality_a, quality_b, scores, mated = self._collected.columns()
        split_scores(scores, mated)  # checks both
        quality = np.concatenate([quality_a, quality_b]).astype(np.float64)
        first = np.arange(len(scores), dtype=np.int32)
        levels = pair_levels(quality, first, first + len(scores), self._pair_quality)
        if self._by_discard and self._fmr is not None:
            return per_discard_curve(levels, scores, mated, self._fmr)
        threshold = self._decision_threshold
        if threshold is None and self._fmr is not None:
            threshold = threshold_at_fmr(levels, scores, mated, self._fmr)
        return fixed_threshold_curve(levels, scores, mated, threshold or 0.0, self._error)

    def area(self, limit: float) -> float:
        """The area up to a discard fraction: by steps, or trapezoids for "per_discard"."""
        curve = self.compute()
        rule = "trapezoid" if self._by_discard else "step"
        return area_under_edc(curve.discard_fraction, curve.error_rate, limit, rule)

    def plot(self, axes: Axes | None = None, label: str | None = None) -> Axes:
        """Draws the curve.

        Args:
            axes: of matplotlib, to draw into; None: new ones.
            label: for a legend.

        Raises:
            UnavailableError: matplotlib is not installed.
        """
        curve = self.compute()
        axes = _new_axes() if axes is None else axes
        style = "default" if self._by_discard else "steps-post"
        axes.plot(curve.discard_fraction, curve.error_rate, drawstyle=style, label=label)
        axes.set_xlabel("discard fraction")
        axes.set_ylabel(curve.error.upper())
        return axes

    def reset(self) -> None:
        """Forgets all comparisons."""
        self._collected = _Collected(("quality_a", "quality_b", "comparison_scores", "mated"))


class DetectionErrorTradeoff:
    """The DET curve of comparisons that arrive in batches."""

    def __init__(self) -> None:
        self.reset()

    def update(self, comparison_scores: npt.ArrayLike, mated: npt.ArrayLike) -> None:
        """Adds comparisons.

        Args:
            comparison_scores: [N], finite; higher is more alike.
            mated: bool [N].
        """
        self._collected.add(comparison_scores, np.asarray(mated, dtype=bool))

    def compute(self) -> DetCurve:
        """The curve of all comparisons so far."""
        return trace_det(*split_scores(*self._collected.columns()))

    def equal_error_rate(self) -> float:
        """The EER, 0..1."""
        return equal_error_rate(self.compute())[0]

    def plot(self, axes: Axes | None = None, label: str | None = None) -> Axes:
        """Draws FNMR over FMR, the latter logarithmic; see `ErrorVersusDiscard.plot`."""
        curve = self.compute()
        axes = _new_axes() if axes is None else axes
        visible = curve.fmr > 0
        axes.step(curve.fmr[visible], curve.fnmr[visible], where="post", label=label)
        axes.set_xscale("log")
        axes.set_xlabel("FMR")
        axes.set_ylabel("FNMR")
        return axes

    def reset(self) -> None:
        """Forgets all comparisons."""
        self._collected = _Collected(("comparison_scores", "mated"))


def _new_axes() -> Axes:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnavailableError(
            "plot: expected matplotlib, got none; pip install 'fiqa-fast[report]'"
        ) from error
    return Figure(figsize=(4.5, 3.2), layout="constrained").add_subplot()
