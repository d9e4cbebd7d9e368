"""Plots as PNG, SVG and PDF, by matplotlib (the extra "report")."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiqa_fast.errors import UnavailableError
from fiqa_fast.report.choices import Options
from fiqa_fast.report.det_plot import DetPlot
from fiqa_fast.report.edc_plot import RANDOM, EdcPlot
from fiqa_fast.report.label_change_plot import LabelChangePlot
from fiqa_fast.report.line_chart import Series
from fiqa_fast.report.line_styles import DASHES, LIGHT, line_style
from fiqa_fast.report.ranking_strip import StripPictures
from fiqa_fast.types import UInt8Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = {"": "", "circle": "o", "square": "s", "triangle": "^", "diamond": "D"}
# Two runs write the same bytes: no dates, no random ids.
_METADATA: Mapping[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_METADATA)
_NAME_WIDTH = 18  # letters beside a strip
_SETTINGS = {
    "svg.hashsalt": "fiqa_fast",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a name with two dollars is no formula
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 8,
    "axes.linewidth": 0.6,
}


def require_matplotlib() -> None:
    """Says what to install where it is missing.

    Raises:
        UnavailableError: matplotlib cannot be imported.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            f"report: expected the package matplotlib for the files of plots, got {error};"
            " run `pip install 'fiqa-fast[report]'`, or leave --files out"
        ) from error


def save_edc(plot: EdcPlot, stem: Path, shown: Options) -> list[Path]:
    """Writes one chart in every format.

    Args:
        plot: what to draw.
        stem: path of the files without their endings.
        shown: options that stand in the title.

    Returns:
        The files.
    """
    with _settings():
        figure, axes = _new_figure(", ".join(shown.values()))
        _draw(axes, plot.series)
        axes.axhline(plot.start, color="0.35", linewidth=0.8, linestyle=(0, (3, 3)), label=RANDOM)
        axes.set(xlim=(0, plot.right), ylim=(0, plot.top), xlabel=plot.x_label, ylabel=plot.y_label)
        _add_legend(figure, axes)
        return _save(figure, stem)


def save_det(plot: DetPlot, stem: Path) -> list[Path]:
    """Writes the DET curves of one data set in every format."""
    with _settings():
        figure, axes = _new_figure(plot.data_set)
        axes.set(xscale="log", yscale="log")
        axes.minorticks_off()
        at_least = (plot.x_axis.low, plot.y_axis.low)
        _draw(axes, [_held(one, *at_least) for one in plot.series])
        axes.set(
            xlim=(plot.x_axis.low, plot.x_axis.high),
            ylim=(plot.y_axis.low, plot.y_axis.high),
            xlabel=plot.x_axis.label,
            ylabel=plot.y_axis.label,
        )
        # matplotlib's own labels of powers are formulas, which names must not be read as.
        for set_ticks, axis in ((axes.set_xticks, plot.x_axis), (axes.set_yticks, plot.y_axis)):
            ticks = axis.ticks(8)
            set_ticks([tick for tick, _ in ticks], labels=[text for _, text in ticks])
        _add_legend(figure, axes)
        return _save(figure, stem)


def save_label_change(plot: LabelChangePlot, stem: Path) -> list[Path]:
    """Writes one scatter of ranks before and after in every format."""
    with _settings():
        figure, axes = _new_figure(plot.options["Data set"])
        figure.set_size_inches(3.2, 3.4)
        axes.axline((0, 0), slope=1, color="0.35", linewidth=0.8, linestyle=(0, (3, 3)))
        axes.scatter(plot.x, plot.y, s=3, color=LIGHT[0], alpha=0.55, linewidths=0)
        axes.set(
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
            aspect="equal",
            xlabel=plot.x_axis.label,
            ylabel=plot.y_axis.label,
        )
        return _save(figure, stem)


def save_strips(strips: Sequence[StripPictures], title: str, stem: Path) -> Path:
    """Writes the ranking strips of one data set below one another, as a PNG."""
    from matplotlib.figure import Figure

    columns = max(len(strip.pictures) for strip in strips)
    with _settings():
        size = (1.2 + 0.6 * columns, 0.3 + 0.75 * len(strips))
        figure = Figure(figsize=size, layout="compressed")
        figure.suptitle(title, fontsize=8)
        grid = figure.subplots(len(strips), columns, squeeze=False)
        for row, strip in zip(grid, strips, strict=True):
            for axes in row[len(strip.pictures) :]:
                axes.set_axis_off()
            for axes, picture, percent in zip(row, strip.pictures, strip.percents, strict=False):
                _show_face(axes, picture)
                axes.set_xlabel(f"{percent}%", fontsize=6.5, labelpad=2)
            row[0].set_ylabel(
                "\n".join(
                    textwrap.wrap(strip.name, _NAME_WIDTH, max_lines=3, placeholder="\u2026")
                ),
                rotation=0,
                ha="right",
                va="center",
                fontsize=7,
            )
        return _save_as("png", figure, stem)


def _settings() -> Any:
    import matplotlib

    return matplotlib.rc_context(_SETTINGS)  # type: ignore[arg-type]


def _new_figure(title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=8)
    axes.grid(color="0.88", linewidth=0.5)
    axes.set_axisbelow(True)
    return figure, axes


def _draw(axes: Axes, series: Sequence[Series]) -> None:
    for one in series:
        style = line_style(one.number)
        dash = DASHES[style.dash]
        axes.plot(
            one.x,
            one.y,
            label=one.name,
            color=LIGHT[style.colour],
            linewidth=1.2,
            linestyle=(0, tuple(length * 0.5 for length in dash)) if dash else "-",
            marker=_MARKERS[style.marker],
            markersize=3.5,
            markevery=max(1, len(one.x) // 8),
        )


def _show_face(axes: Axes, picture: UInt8Array | None) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if picture is not None:
        axes.imshow(picture)
        return
    axes.set(facecolor="0.9", aspect="equal")
    axes.text(0.5, 0.5, "not\navailable", ha="center", va="center", fontsize=5, color="0.35")


def _held(series: Series, x_least: float, y_least: float) -> Series:
    """Zeros have no place on logarithmic axes: they stand at the axis' end."""
    return Series(
        series.number,
        series.name,
        tuple(max(x, x_least) for x in series.x),
        tuple(max(y, y_least) for y in series.y),
    )


def _add_legend(figure: Figure, axes: Axes) -> None:
    """Beside the field, where it hides no line; in several columns where there are many."""
    handles, labels = axes.get_legend_handles_labels()
    columns = -(-len(labels) // 20)
    figure.legend(
        handles, labels, loc="outside right upper", ncols=columns, fontsize=6.5, handlelength=3.5
    )
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 1.4 * columns, height)


def _save(figure: Figure, stem: Path) -> list[Path]:
    return [_save_as(kind, figure, stem) for kind in FORMATS]


def _save_as(kind: str, figure: Figure, stem: Path) -> Path:
    path = stem.with_name(f"{stem.name}.{kind}")
    figure.savefig(path, format=kind, dpi=300, metadata=_METADATA[kind])
    return path
