import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation import all_pairs
from fiqa_fast.evaluation.all_pairs import iterate_blocks, summarise_all_pairs
from fiqa_fast.quality.discard import find_decision_threshold

FMRS = (0.3, 0.1, 0.01, 1e-3, 1e-4)


def draw(samples, persons, seed=0, dimensions=12):
    """Persons in any order, samples of one alike; multiples of 1/8, so that ties occur."""
    rng = np.random.default_rng(seed)
    identity = rng.integers(0, persons, samples)
    identity[:3] = 0, 0, persons  # at least one mated and one non-mated comparison
    centres = rng.standard_normal((persons + 1, dimensions))
    embeddings = centres[identity] + 0.7 * rng.standard_normal((samples, dimensions))
    embeddings = np.round(8 * embeddings) / 8
    embeddings[np.abs(embeddings).sum(axis=1) == 0] = 1
    return embeddings.astype(np.float32), identity


def whole_matrix(embeddings, block):
    """Every comparison once, put together from the blocks."""
    matrix = np.full((len(embeddings), len(embeddings)), np.nan, np.float32)
    for part in iterate_blocks(embeddings, block=block):
        rows, cols = part.similarities.shape
        place = matrix[part.row_start :, part.col_start :][:rows, :cols]
        assert np.isnan(place).all()  # no entry comes twice
        place[:] = part.similarities
    return matrix


@pytest.mark.parametrize("block", [1, 7, 40, 64, 100])
def test_blocks_are_the_upper_triangle(block):
    embeddings, _ = draw(64, 5)
    matrix = whole_matrix(embeddings, block)
    rows = embeddings.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    upper = np.triu(np.ones((64, 64), bool), 1)
    assert (np.isnan(matrix) == ~upper).all()
    assert np.abs(matrix - rows @ rows.T)[upper].max() <= 1e-6
    assert np.abs(matrix[upper]).max() <= 1


def test_a_missing_embedding_is_nan_in_the_blocks():
    embeddings, _ = draw(10, 3)
    embeddings[4] = np.nan
    matrix = whole_matrix(embeddings, 4)
    assert np.isnan(matrix[4]).all()
    assert np.isnan(matrix[:, 4]).all()
    assert np.isfinite(matrix[np.triu_indices(10, 1)]).sum() == 45 - 9


@settings(deadline=None, max_examples=60)
@given(
    st.integers(4, 60), st.integers(1, 20), st.integers(1, 70), st.integers(0, 2**31), st.booleans()
)
def test_thresholds_are_those_of_all_scores(samples, persons, block, seed, is_small):
    embeddings, identity = draw(samples, persons, seed)
    order = np.argsort(identity, kind="stable")
    # The same matrix product as inside, so that scores are the same to the bit.
    matrix = whole_matrix(embeddings[order], block)
    upper = np.triu(np.ones((samples, samples), bool), 1)
    same = identity[order][:, None] == identity[order]
    non_mated = matrix[upper & ~same].astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        if is_small:  # selections happen on the way, not only at the end
            patch.setattr(all_pairs, "_CANDIDATES", 3)
            patch.setattr(all_pairs, "_COUNTED_AT_ONCE", 10)
        summary = summarise_all_pairs(embeddings, identity, fmr=FMRS, block=block)
    assert summary.non_mated_count == len(non_mated)
    for fmr in (*FMRS, 0.02, 0.2999, 0.0):
        assert summary.decision_threshold(fmr) == find_decision_threshold(non_mated, fmr)
    kept = summary.highest_non_mated
    assert kept.tolist() == np.sort(non_mated)[::-1][: len(kept)].tolist()
    assert sorted(summary.mated_scores.tolist()) == sorted(matrix[upper & same].tolist())
    det = summary.trace_det()
    np.testing.assert_array_equal(
        det.fmr, [(non_mated >= t).sum() / len(non_mated) for t in det.decision_threshold]
    )
    mated = matrix[upper & same]
    np.testing.assert_array_equal(
        det.fnmr, [(mated < t).sum() / len(mated) for t in det.decision_threshold]
    )


def test_mated_pairs_are_all_pairs_of_a_person_in_order():
    embeddings, identity = draw(40, 6)
    summary = summarise_all_pairs(embeddings, identity, block=7)
    expected = [(i, j) for i in range(40) for j in range(i + 1, 40) if identity[i] == identity[j]]
    assert list(zip(summary.mated_a.tolist(), summary.mated_b.tolist(), strict=True)) == expected
    rows = embeddings.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = [rows[i] @ rows[j] for i, j in expected]
    np.testing.assert_allclose(summary.mated_scores, cosines, atol=1e-6)


def test_by_hand():
    embeddings = np.array([[1, 0], [0, 2], [3, 0], [3, 4]], np.float32)
    summary = summarise_all_pairs(embeddings, np.array([7, 9, 7, 9]), fmr=(0.5, 0.25))
    # Mated: 0-2 is 1, 1-3 is .8. Non-mated: 0-1 is 0, 0-3 is .6, 1-2 is 0, 2-3 is .6.
    np.testing.assert_allclose(summary.mated_scores, [1, 0.8], atol=1e-6)
    assert summary.non_mated_count == 4
    np.testing.assert_allclose(summary.highest_non_mated, [0.6, 0.6, 0], atol=1e-6)
    assert 0 < summary.decision_threshold(0.5) < 1e-300
    assert summary.decision_threshold(0.25) == pytest.approx(0.6)
    assert summary.non_mated_histogram.sum() == 4
    assert summary.non_mated_histogram[2048] == 2
    assert summary.non_mated_histogram[2048 + 1228 : 2048 + 1230].sum() == 2  # .6 * 2048 = 1228.8
    assert summary.warnings == ()


def test_samples_may_come_in_any_order():
    embeddings, identity = draw(50, 8)
    order = np.random.default_rng(3).permutation(50)
    first = summarise_all_pairs(embeddings, identity)
    second = summarise_all_pairs(embeddings[order], identity[order])
    assert second.non_mated_count == first.non_mated_count
    np.testing.assert_allclose(second.highest_non_mated, first.highest_non_mated, atol=1e-6)
    np.testing.assert_allclose(np.sort(second.mated_scores), np.sort(first.mated_scores), atol=1e-6)


def test_copies_of_a_sample_fill_the_last_bin():
    embeddings = np.ones((6, 4), np.float32)
    summary = summarise_all_pairs(embeddings, np.array([0, 0, 0, 1, 1, 1]), fmr=(0.5,))
    assert summary.decision_threshold(0.5) == np.nextafter(1.0, 2)
    assert summary.non_mated_histogram[-1] == summary.non_mated_count == 9
    det = summary.trace_det()
    assert det.decision_threshold[-1] == 1
    assert (det.fmr[-1], det.fnmr[-1]) == (1, 0)  # scores at the threshold match


def test_samples_without_an_embedding_are_left_out_and_counted():
    embeddings, identity = draw(30, 4)
    holes = embeddings.copy()
    holes[[5, 20]] = np.nan
    rest = np.delete(np.arange(30), [5, 20])
    summary = summarise_all_pairs(holes, identity, block=8)
    without = summarise_all_pairs(embeddings[rest], identity[rest], block=8)
    assert summary.missing == 2
    assert summary.mated_a.tolist() == rest[without.mated_a].tolist()
    assert summary.mated_scores.tolist() == without.mated_scores.tolist()
    assert summary.highest_non_mated.tolist() == without.highest_non_mated.tolist()


def test_float16_and_memory_maps(tmp_path):
    embeddings, identity = draw(30, 4)
    np.save(tmp_path / "e.npy", embeddings.astype(np.float16))
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    summary = summarise_all_pairs(mapped, identity)
    expected = summarise_all_pairs(embeddings.astype(np.float16).astype(np.float32), identity)
    assert summary.mated_scores.tolist() == expected.mated_scores.tolist()


def test_says_which_rates_are_too_small_to_resolve():
    embeddings, identity = draw(40, 6)
    summary = summarise_all_pairs(embeddings, identity, fmr=(0.1, 1e-6))
    (warning,) = summary.warnings
    assert "cannot resolve an FMR of 1e-06" in warning


def test_refuses_a_rate_for_which_too_few_scores_were_kept():
    embeddings, identity = draw(40, 6)
    summary = summarise_all_pairs(embeddings, identity, fmr=(0.01,))
    for fmr in (0.011, -0.1, float("nan")):
        with pytest.raises(InvalidArgumentError, match=r"fmr from 0 to 0\.01"):
            summary.decision_threshold(fmr)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ([0, 0, 0, 0], "got 6 and 0 among 4 samples"),
        ([0, 1, 2, 3], "got 0 and 6 among 4 samples"),
        ([0, 0, -1, 1], "got -1 for row 2"),
        ([0, 0, 1], r"integers of shape \[4\]"),
        ([0.0, 0, 1, 1], "got float64"),
    ],
)
def test_refuses_identities_that_cannot_be_compared(identity, message):
    embeddings = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    with pytest.raises(InvalidArgumentError, match=message):
        summarise_all_pairs(embeddings, np.array(identity))


@pytest.mark.parametrize("fmr", [(), (1.0,), (0.0,), (-0.1,), (0.1, float("nan"))])
def test_refuses_wrong_rates(fmr):
    embeddings, identity = draw(10, 3)
    with pytest.raises(InvalidArgumentError, match="one or more fmr"):
        summarise_all_pairs(embeddings, identity, fmr=fmr)


def test_refuses_wrong_embeddings_at_once():
    with pytest.raises(InvalidArgumentError, match="float32 or float16"):
        iterate_blocks(np.ones((3, 2)))
    with pytest.raises(InvalidArgumentError, match="block to be at least 1"):
        iterate_blocks(np.ones((3, 2), np.float32), block=0)
