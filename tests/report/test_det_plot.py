from __future__ import annotations

from typing import Any

from fiqa_fast.evaluation.result import ErrorRatesRecord
from fiqa_fast.report.det_plot import det_plots, draw_det


def record(**changes: Any) -> ErrorRatesRecord:
    content: dict[str, Any] = {
        "data_set": "LFW",
        "verification_network": "sface",
        "mated_count": 10,
        "non_mated_count": 1000,
        "eer": 0.05,
        "det_fmr": (1.0, 0.05, 0.002, 0.0),
        "det_fnmr": (0.0, 0.05, 0.3, 0.6),
        "fnmr_at_fmr": {"0.01": 0.1},
    }
    return ErrorRatesRecord(**content | changes)


def test_one_chart_for_a_data_set_with_all_its_networks() -> None:
    records = [record(), record(verification_network="other"), record(data_set="CFP")]
    plots = det_plots(records)

    assert [plot.data_set for plot in plots] == ["LFW", "CFP"]
    assert [one.name for one in plots[0].series] == ["sface", "other"]
    assert [one.number for one in plots[1].series] == [0]
    figure = draw_det(plots[0], "c", records)
    assert "equal error rates: sface 0.05000, other 0.05000" in figure.drawing


def test_zeros_are_kept_for_the_ends_of_the_axes() -> None:
    (plot,) = det_plots([record()])

    assert plot.series[0].x == (0.0, 0.002, 0.05, 1.0)
    assert plot.series[0].y == (0.6, 0.3, 0.05, 0.0)
    assert (plot.x_axis.low, plot.y_axis.low) == (0.001, 0.01)
    assert "inf" not in draw_det(plot, "c", [record()]).drawing


def test_without_any_error_there_is_no_chart() -> None:
    assert det_plots([record(det_fmr=(0.0, 0.0), det_fnmr=(0.0, 0.0))]) == []
    assert det_plots([record(det_fmr=(), det_fnmr=())]) == []
