import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.comparisons import Comparisons
from fiqa_fast.quality.fit import fit_calibration
from fiqa_fast.quality.recommendation import DiscardTarget, recommend_discard

FACES = 40


def make_comparisons(rng, faces=FACES, mated=150, non_mated=400):
    """Mated comparisons are scored the lower of the two faces' numbers with noise."""
    count = mated + non_mated
    a, b = rng.integers(0, faces, (2, count))
    is_mated = np.arange(count) < mated
    scores = np.where(
        is_mated,
        np.minimum(a, b) / faces + rng.normal(0, 0.1, count),
        rng.normal(0, 0.05, count),
    )
    return Comparisons(tuple(f"{i}.jpg" for i in range(faces)), a, b, is_mated, scores)


def discard_by_hand(raw, higher_is_better, comparisons, raw_threshold, decision_threshold):
    """FNMR of mated comparisons whose two faces are both no worse than the raw threshold."""
    kept = errors = mated = 0
    for a, b, is_mated, score in zip(
        comparisons.sample_a,
        comparisons.sample_b,
        comparisons.mated,
        comparisons.scores,
        strict=True,
    ):
        if not is_mated:
            continue
        mated += 1
        worst = min(raw[a], raw[b]) if higher_is_better else max(raw[a], raw[b])
        is_kept = worst >= raw_threshold if higher_is_better else worst <= raw_threshold
        kept += is_kept
        errors += is_kept and score < decision_threshold
    return (mated - kept) / mated, errors / kept


@pytest.mark.parametrize("kind", ["percentile", "sigmoid"])
@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_figures_are_those_of_discarding_by_hand(make_reference, kind, higher_is_better):
    rng = np.random.default_rng(3)
    comparisons = make_comparisons(rng)
    raw = np.arange(FACES) / 7 * (1 if higher_is_better else -1)
    reference = make_reference(raw, higher_is_better=higher_is_better)
    calibration = fit_calibration(reference, reference_set="forty", kind=kind)
    target = DiscardTarget("discard_fraction", 0.2, fmr=0.01)
    found = recommend_discard(calibration, reference, comparisons, target)

    non_mated = comparisons.scores[~comparisons.mated]
    assert found.fmr_reached == np.mean(non_mated >= found.decision_threshold) == 0.01
    discarded, fnmr = discard_by_hand(
        raw, higher_is_better, comparisons, found.raw_score, found.decision_threshold
    )
    assert (found.discard_fraction, found.fnmr_after) == (discarded, fnmr)
    assert 0.1 < found.discard_fraction <= 0.2
    everything = -1e9 if higher_is_better else 1e9
    assert (
        found.fnmr_before
        == discard_by_hand(
            raw, higher_is_better, comparisons, everything, found.decision_threshold
        )[1]
    )
    assert found.fnmr_after < found.fnmr_before
    assert found.quality == calibration.quality(found.raw_score)
    below = [calibration.quality(r) < found.quality for r in raw]
    assert found.face_discard_fraction == np.mean(below) > 0
    assert (found.mated_count, found.non_mated_count, found.fmr) == (150, 400, 0.01)
    assert (found.target, found.target_value, found.warnings) == ("discard_fraction", 0.2, ())


def test_a_target_fnmr_discards_the_fewest_faces(make_reference):
    comparisons = make_comparisons(np.random.default_rng(4))
    raw = np.arange(FACES, dtype=float)
    reference = make_reference(raw)
    calibration = fit_calibration(reference, reference_set="forty")
    found = recommend_discard(
        calibration, reference, comparisons, DiscardTarget("fnmr", 0.05, fmr=0.01)
    )
    assert found.fnmr_after <= 0.05 < found.fnmr_before
    _, one_face_more = discard_by_hand(
        raw, True, comparisons, found.raw_score - 1, found.decision_threshold
    )
    assert one_face_more > 0.05


def test_a_target_that_nothing_reaches_is_said(make_reference):
    comparisons = make_comparisons(np.random.default_rng(5))
    lost = np.where(comparisons.mated, -1.0, comparisons.scores)
    hopeless = Comparisons(
        comparisons.samples, comparisons.sample_a, comparisons.sample_b, comparisons.mated, lost
    )
    reference = make_reference(np.arange(FACES))
    calibration = fit_calibration(reference, reference_set="forty")
    found = recommend_discard(
        calibration, reference, hopeless, DiscardTarget("fnmr", 0.01, fmr=0.01)
    )
    assert found.fnmr_before == 1
    assert found.raw_score is found.quality is found.fnmr_after is found.discard_fraction is None
    assert found.warnings == (
        "no threshold reaches an FNMR of 0.01: the lowest is 1, with 0.0% discarded",
        "mated comparisons have lower scores than non-mated ones: higher must mean more alike,"
        " so turn the sign of distances",
    )


def test_what_limits_the_figures_is_said(make_reference):
    comparisons = make_comparisons(np.random.default_rng(6), non_mated=400)
    scored = [f"{i}.jpg" for i in range(1, FACES)]
    reference = make_reference(np.ones(FACES - 1), paths=scored)
    calibration = fit_calibration(reference, reference_set="all the same")
    found = recommend_discard(
        calibration, reference, comparisons, DiscardTarget("discard_fraction", 0.05, fmr=1e-3)
    )
    with_face_0 = (comparisons.sample_a == 0) | (comparisons.sample_b == 0)
    left_out = int((with_face_0 & comparisons.mated).sum())
    assert left_out > 0
    assert found.mated_count == 150 - left_out
    assert found.fmr_reached == 0
    few, missing, nothing = found.warnings
    assert few.startswith("400 non-mated comparisons cannot resolve an FMR of 0.001")
    assert "at least 1000 are needed" in few
    assert missing == f"{left_out} mated comparisons have a sample without a score: left out"
    assert (
        nothing == "nothing is discarded: the comparisons of the lowest quality are 100.0% of all"
    )


def test_the_lowest_quality_may_be_too_common_to_discard(make_reference):
    raw = np.repeat([0.0, 1.0], 20)
    a = np.array([0, 1, 30, 31, 20])
    comparisons = Comparisons(
        tuple(f"{i}.jpg" for i in range(FACES)),
        a,
        a + 1,
        np.array([True, True, True, True, False]),
        np.array([0.1, 0.9, 0.9, 0.9, 0.5]),
    )
    reference = make_reference(raw)
    calibration = fit_calibration(reference, reference_set="two kinds")
    found = recommend_discard(
        calibration, reference, comparisons, DiscardTarget("discard_fraction", 0.4, fmr=0.5)
    )
    assert (found.discard_fraction, found.fnmr_after) == (0, 0.25)
    assert found.warnings[-2:] == (
        "nothing is discarded: the comparisons of the lowest quality are 50.0% of all",
        "only 4 mated comparisons are left at this threshold: trust it little",
    )
    half = recommend_discard(
        calibration, reference, comparisons, DiscardTarget("discard_fraction", 0.5, fmr=0.5)
    )
    assert (half.discard_fraction, half.fnmr_after, half.raw_score) == (0.5, 0, 1)


def test_an_image_with_several_faces_has_no_quality_of_its_own(make_reference):
    paths = [f"{i // 2}.jpg" for i in range(FACES)]
    reference = make_reference(np.arange(FACES), paths=paths)
    calibration = fit_calibration(reference, reference_set="pairs of faces")
    comparisons = make_comparisons(np.random.default_rng(7), faces=20)
    with pytest.raises(InvalidArgumentError, match=r"got 2 in 0.jpg; .*--faces largest"):
        recommend_discard(
            calibration, reference, comparisons, DiscardTarget("discard_fraction", 0.05, 0.01)
        )


def test_no_mated_comparison_has_scores(make_reference):
    reference = make_reference(np.arange(20), paths=[f"other {i}.jpg" for i in range(20)])
    calibration = fit_calibration(reference, reference_set="others")
    with pytest.raises(InvalidArgumentError, match="samples with a score of grafiqs b2, got none"):
        recommend_discard(
            calibration,
            reference,
            make_comparisons(np.random.default_rng(8)),
            DiscardTarget("discard_fraction", 0.05, 0.01),
        )


@pytest.mark.parametrize(
    ("quantity", "value", "fmr", "message"),
    [
        ("discard_fraction", 1.0, 0.01, "0 <= discard_fraction < 1, got 1.0"),
        ("fnmr", -0.1, 0.01, "0 <= fnmr < 1, got -0.1"),
        ("fnmr", float("nan"), 0.01, "got nan"),
        ("fnmr", 0.1, 0.0, "0 < fmr < 1, got 0.0"),
        ("fnmr", 0.1, 1.0, "0 < fmr < 1, got 1.0"),
    ],
)
def test_targets_out_of_range(quantity, value, fmr, message):
    with pytest.raises(InvalidArgumentError, match=message):
        DiscardTarget(quantity, value, fmr)
