"""Histograms as inline SVG, drawn without a plotting library; colours come from the page's CSS."""

from __future__ import annotations

import math

import numpy as np
from markupsafe import Markup, escape

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
    most = max(1, int(counts.max()))
    y_ticks = _ticks(0, most, 4, whole=True)
    y_top = 1.05 * most

    def x_at(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * _PLOT_WIDTH

    def y_at(count: float) -> float:
        return _TOP + _PLOT_HEIGHT * (1 - count / y_top)

    baseline = y_at(0)
    parts: list[str] = []
    for tick in y_ticks:
        y = y_at(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}h{_PLOT_WIDTH}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.0f}</text>')
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x, y = x_at(left), y_at(count)
            parts.append(
                f'<rect class="bin" x="{x + 0.5:.2f}" y="{y:.2f}" rx="1"'
                f' width="{max(0.5, x_at(right) - x - 1):.2f}" height="{baseline - y:.2f}">'
                f"<title>{format_number(float(left))} to {format_number(float(right))}:"
                f" {count}</title></rect>"
            )
    parts.append(f'<path class="axis" d="M{_LEFT} {baseline:.1f}h{_PLOT_WIDTH}"/>')
    x_ticks = _ticks(low, high, 5)
    for tick, text in zip(x_ticks, _tick_texts(x_ticks), strict=True):
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
        f'<text class="label" x="11" y="{_TOP + _PLOT_HEIGHT / 2}" text-anchor="middle"'
        f' transform="rotate(-90 11 {_TOP + _PLOT_HEIGHT / 2})">faces</text>'
    )
    description = (
        f"Histogram of {label} of {len(values)} faces, from {format_number(float(values.min()))}"
        f" to {format_number(float(values.max()))},"
        f" median {format_number(float(np.median(values)))}"
    )
    return Markup(  # every text in it is a number or escaped
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{escape(description)}">{"".join(parts)}</svg>'
    )


def _range(values: Float64Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    # One value: put it in the middle of an axis that has a width.
    half = 0.05 * abs(low) or 0.5
    return low - half, high + half


def _ticks(low: float, high: float, about: int, *, whole: bool = False) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between the ends: `about` of them."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    if whole:
        step = max(1.0, round(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _tick_texts(ticks: list[float]) -> list[str]:
    """As few decimals as tell the ticks apart."""
    largest = max(map(abs, ticks), default=0.0)
    notation = "e" if largest >= 1e6 or 0 < largest < 1e-3 else "f"
    for decimals in range(12):
        texts = [f"{tick:.{decimals}{notation}}" for tick in ticks]
        exact = all(
            math.isclose(float(text), tick, rel_tol=1e-9, abs_tol=1e-12 * largest)
            for text, tick in zip(texts, ticks, strict=True)
        )
        if exact:
            break
    return [text.replace("-", "\N{MINUS SIGN}") for text in texts]
