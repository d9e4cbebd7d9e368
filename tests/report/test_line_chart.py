from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.report.axes import Axis
from fiqa_fast.report.line_chart import LARGE, Series, draw_line_chart, draw_swatch

RATES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def points_of(svg: str, number: int) -> np.ndarray:
    """Vertices of a line in the drawing's units, as the page's script reads them."""
    (group,) = (g for g in ET.fromstring(svg).iter("g") if g.get("data-series") == str(number))
    (path,) = (p for p in group.iter("path") if p.get("class") == "line")
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.get("d", ""))]
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0)


@given(RATES)
def test_a_line_is_read_back_from_its_path(rates: list[float]) -> None:
    x = np.linspace(0, 1, len(rates))
    series = Series(3, "m", tuple(x.tolist()), tuple(rates))
    svg = str(
        draw_line_chart([series], Axis("x", 0, 1), Axis("y", 0, 1), chart_id="c", description="d")
    )

    points = points_of(svg, 3)
    across = (points[:, 0] - LARGE.left) / LARGE.plot_width
    heights = 1 - (points[:, 1] - LARGE.top) / LARGE.plot_height
    # Vertices have two decimals: on a steep line a shift to the side is one in height too.
    steepest = np.abs(np.diff(rates)).max(initial=0) * len(rates)
    atol = 2e-4 + 0.01 / LARGE.plot_width * steepest
    np.testing.assert_allclose(np.interp(x, across, heights), rates, atol=atol)
    assert not re.search(r"\b(nan|inf)\b", svg)


def test_names_are_escaped() -> None:
    series = Series(0, "<script>", (0.0, 1.0), (0.5, 0.5))
    svg = str(
        draw_line_chart(
            [series],
            Axis("<x>", 0, 1),
            Axis("&y", 0, 1),
            chart_id="c",
            description='"d"<',
            level=0.5,
            level_name="<level>",
        )
    )

    root = ET.fromstring(svg)  # would not be read otherwise
    assert root.get("aria-label") == '"d"<'
    assert {"<x>", "&y", "<level>"} <= {text.text for text in root.iter("text")}


def test_level_pieces_are_stored_by_their_ends() -> None:
    series = Series(0, "m", tuple(i / 100 for i in range(101)), (0.5,) * 101)
    svg = str(
        draw_line_chart([series], Axis("x", 0, 1), Axis("y", 0, 1), chart_id="c", description="d")
    )

    assert len(points_of(svg, 0)) == 2


def test_later_methods_have_markers() -> None:
    assert "marker" not in draw_swatch(7)
    assert "marker" in draw_swatch(8)
