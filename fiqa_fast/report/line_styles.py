"""Colours, dash patterns and markers that tell the lines of many methods apart.

The first eight methods differ in dash pattern, the next eight carry a marker too, so that colour is
never the only cue; the colours themselves can be told apart by people with protanopia or
deuteranopia, and stand out from the card behind them at 3:1 or more.
"""

from __future__ import annotations

from dataclasses import dataclass

LIGHT = (
    "#0a6ebd",
    "#d95f02",
    "#00604a",
    "#cf5a9e",
    "#1c1f23",
    "#8a5a00",
    "#2a9dc4",
    "#5e2a9b",
)
"""On white."""
DARK = (
    "#6cb6ff",
    "#ee7c33",
    "#2fb88f",
    "#e9a3cf",
    "#f1f3f5",
    "#d8c84a",
    "#8fdcf0",
    "#8457d6",
)
"""On the dark card; the same hues in the same places."""
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (9, 4),
    (2, 3),
    (10, 3, 2, 3),
    (5, 3),
    (14, 3, 2, 3, 2, 3),
    (16, 5),
    (6, 3, 6, 3, 2, 3),
)
"""Lengths of dash and gap in pixels; () is a solid line."""
MARKERS = ("", "circle", "square", "triangle", "diamond")

_MARKER_PATHS = {
    "circle": "m-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z",
    "square": "m-3.3-3.3h6.6v6.6h-6.6z",
    "triangle": "m0-4.4l4.2 7.6h-8.4z",
    "diamond": "m0-4.6l4.2 4.6l-4.2 4.6l-4.2-4.6z",
}


@dataclass(frozen=True)
class LineStyle:
    """What the line of one method looks like.

    Attributes:
        colour: position in `LIGHT` and `DARK`.
        dash: position in `DASHES`.
        marker: one of `MARKERS`.
    """

    colour: int
    dash: int
    marker: str

    @property
    def css_classes(self) -> str:
        """What `style_rules` made rules for."""
        return f"c{self.colour} d{self.dash}"


def line_style(number: int) -> LineStyle:
    """The style of the method with this number; after forty only the colours are others."""
    turn, place = divmod(number, len(DASHES))
    return LineStyle((place + turn) % len(LIGHT), place, MARKERS[turn % len(MARKERS)])


def marker_path(marker: str, x: float, y: float) -> str:
    """SVG path data of a marker around a point."""
    return f"M{x:.1f} {y:.1f}{_MARKER_PATHS[marker]}"


def style_rules() -> str:
    """CSS rules of all styles, for the light and the dark scheme."""
    light = "".join(f"--line-{i}:{colour};" for i, colour in enumerate(LIGHT))
    dark = "".join(f"--line-{i}:{colour};" for i, colour in enumerate(DARK))
    rules = [
        f":root{{{light}}}",
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}",
    ]
    rules += [f".c{i}{{--series:var(--line-{i})}}" for i in range(len(LIGHT))]
    rules += [
        f".d{i} .line{{stroke-dasharray:{' '.join(f'{length:g}' for length in dash)}}}"
        for i, dash in enumerate(DASHES)
        if dash
    ]
    return "\n".join(rules) + "\n"
