from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fiqa_fast.report.axes import Axis, log_axis


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 10))
def test_ticks_lie_on_the_axis_and_are_told_apart(low: float, width: float, about: int) -> None:
    assume(width > 1e-6 * abs(low))
    axis = Axis("x", low, low + width, log=False)
    ticks = axis.ticks(about)

    assert ticks
    assert len({text for _, text in ticks}) == len(ticks)
    assert all(-1e-6 < axis.place(value) < 1 + 1e-6 for value, _ in ticks)


@pytest.mark.parametrize(
    ("smallest", "largest", "texts"),
    [
        (0.0003, 1.0, ["0.0001", "0.001", "0.01", "0.1", "1"]),
        (3e-7, 0.02, ["1e\u22127", "1e\u22126", "1e\u22125", "0.0001", "0.001", "0.01", "0.1"]),
        (1.0, 1.0, ["1", "10"]),
    ],
)
def test_logarithmic_axes_have_powers_of_ten(
    smallest: float, largest: float, texts: list[str]
) -> None:
    assert [text for _, text in log_axis("x", smallest, largest).ticks(8)] == texts


def test_a_logarithmic_axis_holds_zero_at_its_end() -> None:
    axis = log_axis("x", 1e-4, 1)

    assert axis.place(0.0) == 0
    assert axis.place(0.01) == pytest.approx(0.5)
    assert axis.place(1.0) == pytest.approx(1)
