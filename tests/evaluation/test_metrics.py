from __future__ import annotations

import sys

import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.evaluation.edc import fixed_threshold_curve, per_discard_curve, threshold_at_fmr
from fiqa_fast.evaluation.error_rates import equal_error_rate, trace_det
from fiqa_fast.evaluation.metrics import DetectionErrorTradeoff, ErrorVersusDiscard
from fiqa_fast.evaluation.pair_quality import levels_of

RNG = np.random.default_rng(0)
MATED = RNG.random(600) < 0.5
QUALITY = RNG.random((2, 600)).round(2)
SCORES = RNG.normal(MATED * (0.2 + QUALITY.min(axis=0)), 0.2)
LEVELS = levels_of(QUALITY.min(axis=0))


def collected(metric: ErrorVersusDiscard, batch: int) -> ErrorVersusDiscard:
    for start in range(0, 600, batch):
        part = slice(start, start + batch)
        metric.update(QUALITY[0, part], QUALITY[1, part], SCORES[part], MATED[part])
    return metric


@pytest.mark.parametrize("batch", [1, 7, 600])
def test_batches_give_the_curve_of_all(batch: int) -> None:
    fixed = collected(ErrorVersusDiscard(fmr=0.01), batch).compute()
    by_discard = collected(
        ErrorVersusDiscard(fmr=0.01, threshold_policy="per_discard"), batch
    ).compute()

    threshold = threshold_at_fmr(LEVELS, SCORES, MATED, 0.01)
    expected = fixed_threshold_curve(LEVELS, SCORES, MATED, threshold)
    assert np.array_equal(fixed.error_rate, expected.error_rate)
    assert np.array_equal(fixed.discard_fraction, expected.discard_fraction)
    expected = per_discard_curve(LEVELS, SCORES, MATED, 0.01)
    assert np.array_equal(by_discard.error_rate, expected.error_rate)


def test_a_given_threshold_and_the_fmr_curve() -> None:
    curve = collected(ErrorVersusDiscard(decision_threshold=0.3, error="fmr"), 100).compute()

    expected = fixed_threshold_curve(LEVELS, SCORES, MATED, 0.3, "fmr")
    assert np.array_equal(curve.error_rate, expected.error_rate)


def test_reset_forgets() -> None:
    metric = collected(ErrorVersusDiscard(fmr=0.01), 600)
    metric.reset()

    with pytest.raises(InvalidArgumentError, match="compute: expected comparisons, got none"):
        metric.compute()


def test_det_and_its_eer() -> None:
    metric = DetectionErrorTradeoff()
    metric.update(SCORES[:100], MATED[:100])
    metric.update(SCORES[100:], MATED[100:])

    expected = trace_det(SCORES[MATED], SCORES[~MATED])
    assert np.array_equal(metric.compute().fnmr, expected.fnmr)
    assert metric.equal_error_rate() == equal_error_rate(expected)[0]


@pytest.mark.parametrize("policy", ["fixed", "per_discard"])
def test_plots_draw_the_curve(policy: str) -> None:
    metric = collected(ErrorVersusDiscard(fmr=0.01, threshold_policy=policy), 600)

    axes = metric.plot(label="norm")

    (line,) = axes.lines
    assert np.array_equal(line.get_ydata(), metric.compute().error_rate)
    assert line.get_label() == "norm"
    assert metric.plot(axes) is axes
    assert len(axes.lines) == 2


def test_det_plot() -> None:
    metric = DetectionErrorTradeoff()
    metric.update(SCORES, MATED)

    axes = metric.plot()

    assert axes.get_xscale() == "log"
    assert (axes.lines[0].get_xdata() > 0).all()


def test_without_matplotlib_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(UnavailableError, match=r"fiqa-fast\[report\]"):
        collected(ErrorVersusDiscard(fmr=0.01), 600).plot()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"fmr": 0.1, "decision_threshold": 0.2},
        {"decision_threshold": 0.2, "threshold_policy": "per_discard"},
    ],
)
def test_what_decides_the_threshold_must_be_clear(arguments: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError, match="expected fmr, or decision_threshold with"):
        ErrorVersusDiscard(**arguments)  # type: ignore[arg-type]


def test_columns_must_fit() -> None:
    with pytest.raises(InvalidArgumentError, match=r"got \[2\], \[2\], \[1\], \[2\]"):
        ErrorVersusDiscard(fmr=0.1).update([1, 2], [1, 2], [1], [True, False])
