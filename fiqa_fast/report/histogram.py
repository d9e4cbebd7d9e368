"""Histograms as inline SVG, drawn without a plotting library; colours come from the page's CSS."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from fiqa_fast.report.axes import Axis, round_ticks
from fiqa_fast.report.text import format_number
from fiqa_fast.types import Float64Array

_WIDTH, _HEIGHT = 400, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 22, 10, 44
_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM


def draw_histogram(
    values: Float64Array, *, label: str, bounds: tuple[float, float] | None = None, bins: int = 0
) -> Markup:
    """Draws the distribution of `values`.

    Args:
        values: float64 [N], finite, N >= 1.
        label: of the horizontal axis.
        bounds: its ends, values beyond are counted at the end; by default the values' own range.
        bins: how many bars; 0 picks 6 to 30 by the number of values.

    Returns:
        An `<svg>` element that scales with its container, described for screen readers.
    """
    low, high = bounds or _range(values)
    bins = bins or min(30, max(6, math.ceil(2 * len(values) ** (1 / 3))))
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    description = (
        f"Histogram of {label} of {len(values)} faces, from {format_number(float(values.min()))}"
        f" to {format_number(float(values.max()))},"
        f" median {format_number(float(np.median(values)))}"
    )
    return draw_counts(counts.tolist(), edges.tolist(), label=label, description=description)


def draw_counts(
    counts: Sequence[int], edges: Sequence[float], *, label: str, description: str
) -> Markup:
    """Draws bars that were counted before.

    Args:
        counts: of faces, for each bar.
        edges: finite, len(counts) + 1 bounds, ascending.
        label: of the horizontal axis.
        description: for screen readers.

    Returns:
        An `<svg>` element that scales with its container.
    """
    low, high = edges[0], edges[-1]
    if not high > low:
        low, high = _around(low)
    axis = Axis(label, low, high)
    most = max(1, *counts) if counts else 1
    y_top = 1.05 * most

    def x_at(value: float) -> float:
        return _LEFT + axis.place(value) * _PLOT_WIDTH

    def y_at(count: float) -> float:
        return _TOP + _PLOT_HEIGHT * (1 - count / y_top)

    baseline = y_at(0)
    parts: list[str] = []
    for tick in round_ticks(0, most, 4, whole=True):
        y = y_at(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}h{_PLOT_WIDTH}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.0f}</text>')
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x, y = x_at(left), y_at(count)
            parts.append(
                f'<rect class="bin" x="{x + 0.5:.2f}" y="{y:.2f}" rx="1"'
                f' width="{max(0.5, x_at(right) - x - 1):.2f}" height="{baseline - y:.2f}">'
                f"<title>{format_number(left)} to {format_number(right)}:"
                f" {count}</title></rect>"
            )
    parts.append(f'<path class="axis" d="M{_LEFT} {baseline:.1f}h{_PLOT_WIDTH}"/>')
    for tick, text in axis.ticks(5):
        x = x_at(tick)
        parts.append(f'<path class="axis" d="M{x:.1f} {baseline:.1f}v4"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{baseline + 17:.1f}" text-anchor="middle">{text}</text>'
        )
    middle = _LEFT + _PLOT_WIDTH / 2
    parts.append(
        f'<text class="label" x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">'
        f"{escape(label)}</text>"
    )
    parts.append(
        f'<text class="label upright" x="11" y="{_TOP + _PLOT_HEIGHT / 2}" text-anchor="middle"'
        f' transform="rotate(-90 11 {_TOP + _PLOT_HEIGHT / 2})">faces</text>'
    )
    return Markup(  # every text in it is a number or escaped
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{escape(description)}">{"".join(parts)}</svg>'
    )


def _range(values: Float64Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    return _around(low)


def _around(value: float) -> tuple[float, float]:
    """One value: put it in the middle of an axis that has a width."""
    half = 0.05 * abs(value) or 0.5
    return value - half, value + half
