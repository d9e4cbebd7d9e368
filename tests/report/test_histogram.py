from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.report.histogram import draw_histogram

FINITE = st.floats(-1e12, 1e12, allow_subnormal=False)


def bar_counts(svg: str) -> list[int]:
    titles = (bar.find("title") for bar in ET.fromstring(svg).iter("rect"))
    return [int((title.text or "").rsplit(" ", 1)[1]) for title in titles if title is not None]


def tick_labels(svg: str) -> list[str]:
    """Of the horizontal axis."""
    texts = ET.fromstring(svg).iter("text")
    return [t.text or "" for t in texts if t.get("text-anchor") == "middle" and not t.get("class")]


@given(st.lists(FINITE, min_size=1, max_size=200))
def test_every_value_is_in_a_bar_inside_the_picture(values: list[float]) -> None:
    svg = str(draw_histogram(np.array(values), label="raw score"))

    assert sum(bar_counts(svg)) == len(values)
    assert not re.search(r"\b(nan|inf)\b", svg)
    for bar in ET.fromstring(svg).iter("rect"):
        x, y, width, height = (float(bar.get(k, "")) for k in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + width <= 400
        assert y + height <= 190


def test_fixed_bounds_give_round_ticks_and_hold_the_ends() -> None:
    svg = str(
        draw_histogram(np.array([0.0, 99.9, 100.0]), label="quality", bounds=(0, 100), bins=20)
    )

    assert tick_labels(svg) == ["0", "20", "40", "60", "80", "100"]
    assert bar_counts(svg) == [1, 2]


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-9, 7e8])
def test_one_value_gets_one_bar_on_a_real_axis(value: float) -> None:
    svg = str(draw_histogram(np.full(5, value), label="raw score"))

    assert bar_counts(svg) == [5]
    labels = tick_labels(svg)
    assert len(labels) >= 2
    assert len(set(labels)) == len(labels)


def test_the_label_is_escaped_and_the_picture_described() -> None:
    svg = str(draw_histogram(np.array([1.0, 2.0, 4.0]), label="<b>"))

    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == (
        "Histogram of <b> of 3 faces, from 1.000 to 4.000, median 2.000"
    )
    assert "<b>" not in svg
