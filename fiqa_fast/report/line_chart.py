"""Charts of lines as inline SVG; colours come from the page's CSS, values stay readable by script.

The script of the page reads the lines back from their paths, so the numbers stand in the page once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from fiqa_fast.report.axes import Axis
from fiqa_fast.report.line_styles import line_style, marker_path

_MARKERS_PER_LINE = 7


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        number: of its method on the page, which gives it its style.
        name: of the method.
        x, y: the points, finite, x ascending; straight lines join them.
    """

    number: int
    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    """Sizes in the units of the drawing; the page scales it to the place that there is."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_ticks: int
    y_ticks: int

    @property
    def plot_width(self) -> int:
        """Of the field that the lines are in."""
        return self.width - self.left - self.right

    @property
    def plot_height(self) -> int:
        """Of the field that the lines are in."""
        return self.height - self.top - self.bottom


LARGE = Layout(680, 400, 74, 20, 14, 62, 10, 6)
SMALL = Layout(340, 220, 46, 12, 10, 44, 6, 4)
"""One of several beside each other."""


def draw_line_chart(
    series: Sequence[Series],
    x_axis: Axis,
    y_axis: Axis,
    *,
    chart_id: str,
    description: str,
    level: float | None = None,
    level_name: str = "",
    layout: Layout = LARGE,
) -> Markup:
    """Draws lines, clipped to the field between the axes.

    Args:
        series: the lines; the first is drawn on top.
        x_axis, y_axis: their ends and labels.
        chart_id: a word that no other chart of the page has.
        description: for screen readers.
        level: height of a dashed horizontal line, such as that of random discarding.
        level_name: what that line is.
        layout: `LARGE`, or `SMALL` for one of several charts beside each other.

    Returns:
        An `<svg>` element that scales with its container.
    """
    parts = [draw_axes(x_axis, y_axis, layout)]
    parts.append(
        f'<clipPath id="{chart_id}"><rect x="{layout.left}" y="{layout.top}"'
        f' width="{layout.plot_width}" height="{layout.plot_height}"/></clipPath>'
        f'<g clip-path="url(#{chart_id})">'
    )
    if level is not None:
        y = layout.top + layout.plot_height * (1 - y_axis.place(level))
        parts.append(
            f'<g class="level"><title>{escape(level_name)}</title>'
            f'<path d="M{layout.left} {y:.2f}h{layout.plot_width}"/></g>'
        )
    parts += [_line(one, x_axis, y_axis, layout) for one in reversed(series)]
    parts.append("</g>")
    if level is not None:
        y = layout.top + layout.plot_height * (1 - y_axis.place(level))
        parts.append(
            f'<text class="level-name" x="{layout.left + layout.plot_width - 4}" y="{y - 6:.1f}"'
            f' text-anchor="end">{escape(level_name)}</text>'
        )
    plot = f"{layout.left} {layout.top} {layout.plot_width} {layout.plot_height}"
    size = "small" if layout is SMALL else "large"
    return Markup(  # every text in it is a number or escaped
        f'<svg class="chart {size}" viewBox="0 0 {layout.width} {layout.height}" role="img"'
        f' aria-label="{escape(description)}" data-plot="{plot}"'
        f' data-x="{_ends(x_axis)}" data-y="{_ends(y_axis)}">{"".join(parts)}</svg>'
    )


def draw_swatch(number: int) -> Markup:
    """A short piece of a method's line, for the legend."""
    style = line_style(number)
    marker = (
        f'<path class="marker" d="{marker_path(style.marker, 20, 7)}"/>' if style.marker else ""
    )
    return Markup(
        f'<svg class="swatch series {style.css_classes}" viewBox="0 0 40 14" aria-hidden="true">'
        f'<path class="line" d="M1 7h38"/>{marker}</svg>'
    )


def draw_axes(x_axis: Axis, y_axis: Axis, layout: Layout) -> str:
    """Both axes with their ticks and labels, as SVG elements."""
    baseline = layout.top + layout.plot_height
    parts = []
    for tick, text in y_axis.ticks(layout.y_ticks):
        y = layout.top + layout.plot_height * (1 - y_axis.place(tick))
        parts.append(f'<path class="grid" d="M{layout.left} {y:.1f}h{layout.plot_width}"/>')
        parts.append(f'<text x="{layout.left - 7}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    parts.append(f'<path class="axis" d="M{layout.left} {baseline}h{layout.plot_width}"/>')
    for tick, text in x_axis.ticks(layout.x_ticks):
        x = layout.left + layout.plot_width * x_axis.place(tick)
        parts.append(f'<path class="axis" d="M{x:.1f} {baseline}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{baseline + 19}" text-anchor="middle">{text}</text>')
    across = layout.left + layout.plot_width / 2
    down = layout.top + layout.plot_height / 2
    parts.append(
        f'<text class="label" x="{across}" y="{layout.height - 8}" text-anchor="middle">'
        f"{escape(x_axis.label)}</text>"
        f'<text class="label" x="14" y="{down}" text-anchor="middle"'
        f' transform="rotate(-90 14 {down})">{escape(y_axis.label)}</text>'
    )
    return "".join(parts)


def _line(series: Series, x_axis: Axis, y_axis: Axis, layout: Layout) -> str:
    x = [layout.left + layout.plot_width * x_axis.place(value) for value in series.x]
    y = [layout.top + layout.plot_height * (1 - y_axis.place(value)) for value in series.y]
    style = line_style(series.number)
    marker = ""
    if style.marker and x:
        middles = (np.arange(_MARKERS_PER_LINE) + (series.number % 8 + 1) / 9) / _MARKERS_PER_LINE
        places = x[0] + middles * (x[-1] - x[0])
        paths = (
            marker_path(style.marker, at, height)
            for at, height in zip(places, np.interp(places, x, y), strict=True)
        )
        marker = f'<path class="marker" d="{"".join(paths)}"/>'
    return (
        f'<g class="series {style.css_classes}" data-series="{series.number}">'
        f"<title>{escape(series.name)}</title>"
        f'<path class="line" d="{_path(x, y)}"/>{marker}</g>'
    )


def _path(x: Sequence[float], y: Sequence[float]) -> str:
    """Steps between points in hundredths: short, and their sum does not drift."""
    points = np.rint(np.array([x, y]).T * 100).astype(np.int64)
    if len(points) > 2:  # the inner points of level pieces say nothing
        level = (points[1:-1, 1] == points[:-2, 1]) & (points[1:-1, 1] == points[2:, 1])
        points = points[np.concatenate([[True], ~level, [True]])]
    first, steps = points[0], np.diff(points, axis=0)
    numbers = " ".join(f"{_hundredths(dx)} {_hundredths(dy)}" for dx, dy in steps)
    return f"M{_hundredths(first[0])} {_hundredths(first[1])}" + (f"l{numbers}" if numbers else "")


def _hundredths(value: int) -> str:
    return f"{value / 100:.2f}".rstrip("0").rstrip(".")


def _ends(axis: Axis) -> str:
    return f"{axis.low:.9g} {axis.high:.9g}{' log' if axis.log else ''}"
