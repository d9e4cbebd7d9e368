import pytest

from fiqa_fast.benchmark.compare import Verdict, compare_results
from fiqa_fast.benchmark.measure import Spread
from fiqa_fast.benchmark.results import SkippedCase
from fiqa_fast.errors import InvalidArgumentError, ResultsError


@pytest.mark.parametrize(
    ("to_loop", "to_floor", "verdict"),
    [
        (0.5, 4.0, Verdict.SAME),
        (0.57, 4.56, Verdict.SAME),  # 14 %
        (0.58, 4.64, Verdict.SLOWER),  # 16 %
        (0.58, 4.0, Verdict.UNCLEAR),  # the loop became faster, ours stayed
        (0.5, 4.64, Verdict.UNCLEAR),
        (0.25, 2.0, Verdict.FASTER),
        (0.25, 5.0, Verdict.UNCLEAR),
    ],
)
def test_verdicts(make_case, make_result, to_loop, to_floor, verdict):
    old = make_result(make_case(to_loop=0.5, to_floor=4.0))
    new = make_result(make_case(to_loop=to_loop, to_floor=to_floor))
    (change,) = compare_results(old, new)
    assert change.verdict == verdict
    assert change.is_regression == (verdict == Verdict.SLOWER)
    assert change.to_loop == pytest.approx(to_loop / 0.5)
    assert change.to_floor == pytest.approx(to_floor / 4.0)


def test_a_slower_machine_is_no_regression(make_case, make_result):
    """Times double, ratios stay."""
    slow = make_case(
        ours_ms=Spread(40.0, 1.0), loop_ms=Spread(80.0, 1.0), floor_ms=Spread(10.0, 1.0)
    )
    (change,) = compare_results(make_result(make_case()), make_result(slow))
    assert change.verdict == Verdict.SAME


def test_the_tolerance(make_case, make_result):
    old, new = make_result(make_case()), make_result(make_case(to_loop=0.58, to_floor=4.64))
    assert compare_results(old, new, 0.2)[0].verdict == Verdict.SAME
    assert compare_results(old, new, 0.05)[0].verdict == Verdict.SLOWER
    with pytest.raises(InvalidArgumentError, match="--tolerance > 0"):
        compare_results(old, new, 0)


@pytest.mark.parametrize(("to_floor", "verdict"), [(8.0, Verdict.SLOWER), (4.0, Verdict.SAME)])
def test_without_a_loop_the_floor_decides(make_case, make_result, to_floor, verdict):
    old = make_result(make_case(to_loop=None))
    new = make_result(make_case(to_loop=None, to_floor=to_floor))
    (change,) = compare_results(old, new)
    assert (change.verdict, change.to_loop) == (verdict, None)


def test_floors_of_two_precisions_are_not_compared(make_case, make_result):
    old = make_result(make_case())
    new = make_result(make_case(to_floor=40.0, floor_precision="bf16"))
    (change,) = compare_results(old, new)
    assert (change.verdict, change.to_floor) == (Verdict.SAME, None)


def test_what_cannot_run_any_more_is_a_regression(make_case, make_result):
    case = make_case()
    old = make_result(case, make_case(batch_size=8))
    new = make_result(make_case(batch_size=8), skipped=(SkippedCase(case.key, "refused"),))
    gone, same = compare_results(old, new)
    assert (gone.verdict, gone.reason, gone.is_regression) == (Verdict.GONE, "refused", True)
    assert same.verdict == Verdict.SAME


def test_only_what_both_know_is_compared(make_case, make_result):
    old = make_result(make_case(), make_case(network="iresnet50"))
    new = make_result(make_case(), make_case(threads=1))
    assert [c.key for c in compare_results(old, new)] == [make_case().key]
    with pytest.raises(ResultsError, match="cases in common, got none"):
        compare_results(old, make_result(make_case(engine="reference")))


@pytest.mark.parametrize(("before", "after"), [(0.5, None), (None, 0.5)])
def test_a_disturbed_case_is_not_judged(make_case, make_result, before, after):
    old = make_result(make_case(waited_fraction=before))
    new = make_result(make_case(to_loop=5.0, to_floor=40.0, waited_fraction=after))
    (change,) = compare_results(old, new)
    assert (change.verdict, change.is_regression) == (Verdict.UNCLEAR, False)
    assert "something else" in change.reason
