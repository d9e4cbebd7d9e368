import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.agreement import measure_agreement

NAN = float("nan")


def test_by_hand():
    record = measure_agreement("LFW", ["a", "b", "c"], [[1, 2, 3], [2, 4, 9], [3, 1, 2]])
    assert record.data_set == "LFW"
    assert record.methods == ("a", "b", "c")
    np.testing.assert_allclose(record.spearman, [[1, 1, -0.5], [1, 1, -0.5], [-0.5, -0.5, 1]])
    np.testing.assert_allclose(
        record.kendall, [[1, 1, -1 / 3], [1, 1, -1 / 3], [-1 / 3, -1 / 3, 1]]
    )


def test_same_as_scipy_over_the_common_samples():
    scores = np.random.default_rng(0).integers(0, 12, (4, 80)).astype(float)
    scores[0, 3:9] = NAN
    scores[1, 7:20] = -np.inf
    record = measure_agreement("LFW", list("abcd"), scores)
    for i in range(4):
        for j in range(4):
            common = np.isfinite(scores[i]) & np.isfinite(scores[j])
            a, b = scores[i, common], scores[j, common]
            assert record.spearman[i][j] == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
            assert record.kendall[i][j] == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)


def test_samples_may_come_in_any_order():
    scores = np.random.default_rng(0).integers(0, 9, (3, 50)).astype(float)
    order = np.random.default_rng(1).permutation(50)
    first = measure_agreement("LFW", list("abc"), scores)
    second = measure_agreement("LFW", list("abc"), scores[:, order])
    assert second.kendall == first.kendall
    np.testing.assert_allclose(second.spearman, first.spearman, atol=1e-12)


def test_nothing_is_said_where_a_method_orders_nothing_or_no_sample_is_common():
    scores = [[1, 2, 3, NAN], [5, 5, 5, 5], [NAN, NAN, NAN, 1], [2, 3, 3, 3]]
    record = measure_agreement("LFW", list("abcd"), scores)
    for matrix in (record.spearman, record.kendall):
        assert matrix[1] == (None,) * 4
        assert matrix[2] == (None,) * 4
        assert matrix[0][0] == matrix[3][3] == pytest.approx(1)
        assert matrix[0][3] == matrix[3][0] == pytest.approx(np.sqrt(3) / 2, abs=0.06)


@pytest.mark.parametrize(
    ("methods", "scores", "message"),
    [
        ([], np.empty((0, 3)), "one or more methods"),
        (["a", "a"], np.ones((2, 3)), "different names"),
        (["a", "b"], np.ones((3, 2)), r"shape \[2, S\], got \[3, 2\]"),
        (["a"], np.ones(3), r"shape \[1, S\], got \[3\]"),
        (["a"], [[1, np.inf]], r"got \+inf"),
    ],
)
def test_refuses_wrong_input(methods, scores, message):
    with pytest.raises(InvalidArgumentError, match=message):
        measure_agreement("LFW", methods, scores)
