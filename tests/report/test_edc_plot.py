from __future__ import annotations

from dataclasses import replace
from typing import Any

from fiqa_fast.evaluation.result import EvaluationResult
from fiqa_fast.report.edc_plot import draw_edc, edc_plots
from fiqa_fast.report.methods import MethodNames


def plots_of(*curves: Any) -> Any:
    return edc_plots(curves, MethodNames(EvaluationResult("t", curves=curves)))


def test_a_chart_for_each_choice(make_evaluation: Any) -> None:
    result = make_evaluation(methods=("a", "b"), data_sets=("LFW", "CFP-FP"))
    plots = edc_plots(result.curves, MethodNames(result))

    assert len(plots) == 8  # data sets x FMRs x policies
    assert all([one.name for one in plot.series] == ["a", "b"] for plot in plots)
    assert {plot.options["Threshold"] for plot in plots} == {"fixed", "anew at each step"}


def test_fixed_thresholds_give_steps_and_others_lines(make_evaluation: Any) -> None:
    curve = make_evaluation(methods=("a",), data_sets=("LFW",)).curves[0]
    short = replace(curve, discard_fraction=(0.0, 0.5, 1.0), error_rate=(0.2, 0.1, 0.0))

    (fixed,) = plots_of(short)
    (anew,) = plots_of(replace(short, threshold_policy="per_discard"))

    # Where nothing is left there is no rate: no step down to (1, 0).
    assert fixed.series[0].x == (0.0, 0.5, 0.5, 1.0)
    assert fixed.series[0].y == (0.2, 0.2, 0.1, 0.1)
    assert anew.series[0].x == (0.0, 0.5, 1.0)
    assert anew.series[0].y == (0.2, 0.1, 0.0)


def test_the_last_comparisons_do_not_flatten_the_rest(make_evaluation: Any) -> None:
    curve = make_evaluation(methods=("a",), data_sets=("LFW",)).curves[0]
    wild = replace(curve, discard_fraction=(0.0, 0.5, 0.99), error_rate=(0.02, 0.01, 1.0))

    (plot,) = plots_of(wild)

    assert plot.start == 0.02
    assert plot.top < 0.05
    assert "go on there" in plot.caption


def test_nothing_wrong_and_not_finite(make_evaluation: Any) -> None:
    curve = make_evaluation(methods=("a",), data_sets=("LFW",)).curves[0]
    flat = replace(curve, discard_fraction=(0.0, 0.5), error_rate=(0.0, 0.0))
    holes = replace(curve, error_rate=(float("nan"),) * len(curve.error_rate))

    (plot,) = plots_of(flat)
    assert plot.top > 0
    assert "nan" not in draw_edc(plot, "c").drawing
    assert plots_of(holes) == []


def test_the_network_stands_beside_a_method_that_ran_on_several(make_evaluation: Any) -> None:
    curve = make_evaluation(methods=("a",), data_sets=("LFW",)).curves[0]

    (plot,) = plots_of(curve, replace(curve, quality_network="iresnet50"))

    assert [one.name for one in plot.series] == ["a on sface", "a on iresnet50"]


def test_the_drawing_says_what_it_shows(make_evaluation: Any) -> None:
    result = make_evaluation(methods=("a", "b"), data_sets=("LFW",))
    figure = draw_edc(edc_plots(result.curves, MethodNames(result))[0], "c")

    assert 'role="img"' in figure.drawing
    assert "Error versus discard curves of 2 methods on LFW: FNMR is 0.01200" in figure.drawing
    assert "random discarding" in figure.drawing
