from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.pair_quality import levels_of, orient_scores, pair_levels

QUALITY = np.asarray([0.5, 0.1, 0.9, 0.1])
A, B = np.asarray([0, 1, 2, 0]), np.asarray([1, 3, 0, 2])


def test_the_worse_sample_decides() -> None:
    levels = pair_levels(QUALITY, A, B)

    assert levels.value[levels.level].tolist() == [0.1, 0.1, 0.5, 0.5]


def test_mean_and_product_are_of_qualities_scaled_to_0_1() -> None:
    mean = pair_levels(QUALITY, A, B, "mean")
    product = pair_levels(QUALITY, A, B, "product")

    assert mean.value[mean.level] == pytest.approx([0.25, 0, 0.75, 0.75])
    assert product.value[product.level] == pytest.approx([0, 0, 0.5, 0.5])


@given(
    quality=st.lists(st.floats(-5, 5), min_size=2, max_size=20),
    rule=st.sampled_from(["min", "mean", "product"]),
    scale=st.floats(0.5, 4),
    shift=st.integers(-100, 100),
    seed=st.integers(0, 99),
)
def test_levels_are_the_order_of_the_plain_rule(
    quality: list[float], rule: str, scale: float, shift: int, seed: int
) -> None:
    values = np.asarray(quality).round(3) * scale + shift
    a, b = np.random.default_rng(seed).integers(0, len(values), (2, 30))
    span = np.ptp(values) or 1
    unit = (values - values.min()) / span
    plain = {
        "min": np.minimum(values[a], values[b]),
        "mean": (unit[a] + unit[b]) / 2,
        "product": unit[a] * unit[b],
    }[rule]

    levels = pair_levels(values, a, b, rule)

    assert np.array_equal(levels.value[levels.level], plain)
    assert (np.diff(levels.value) > 0).all()


@pytest.mark.parametrize("rule", ["min", "mean", "product"])
def test_samples_without_a_score_are_lowest_or_left_out(rule: str) -> None:
    raw = [0.5, np.nan, 0.9, 0.1]
    lowest = orient_scores(raw, higher_is_better=True, missing="lowest")
    drop = orient_scores(raw, higher_is_better=True, missing="drop")

    levels = pair_levels(lowest, A, B, rule)
    assert levels.level.tolist()[:2] == [0, 0]
    assert levels.value[0] == -np.inf
    assert (levels.level[2:] > 0).all()
    assert pair_levels(drop, A, B, rule).level[:2].tolist() == [-1, -1]
    assert (pair_levels(drop, A, B, rule).level[2:] >= 0).all()


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_lowest_is_lowest_for_both_polarities(higher_is_better: bool) -> None:
    oriented = orient_scores([1, np.nan], higher_is_better=higher_is_better, missing="lowest")

    assert oriented[1] == -np.inf
    assert oriented[0] == (1 if higher_is_better else -1)


def test_a_missing_score_names_the_samples_and_the_remedy() -> None:
    names = [f"{n}.jpg" for n in range(9)]

    with pytest.raises(
        InvalidArgumentError, match=r"got none for 7: 2\.jpg, .* and 2 more; .*drop"
    ):
        orient_scores([1, 2, *[np.nan] * 7], higher_is_better=True, names=names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"raw_scores": [1, np.inf]}, "got an infinite one for sample 1"),
        ({"raw_scores": [[1.0]]}, r"expected quality scores of shape \[S\], got \[1, 1\]"),
        ({"raw_scores": [1.0], "missing": "ignore"}, "one of error, lowest, drop, got 'ignore'"),
    ],
)
def test_bad_scores(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        orient_scores(**arguments, higher_is_better=True)  # type: ignore[arg-type]


def test_positions_must_fit() -> None:
    with pytest.raises(InvalidArgumentError, match="sample_b to hold positions from 0 to 3"):
        pair_levels(QUALITY, A, B + 1)
    with pytest.raises(InvalidArgumentError, match="of the same shape"):
        pair_levels(QUALITY, A, B[:2])
    with pytest.raises(InvalidArgumentError, match="one of min, mean, product, got 'max'"):
        pair_levels(QUALITY, A, B, "max")


def test_known_pair_qualities() -> None:
    levels = levels_of([3.0, np.nan, 1.0, 3.0])

    assert levels.level.tolist() == [1, -1, 0, 1]
    assert levels.value.tolist() == [1, 3]
