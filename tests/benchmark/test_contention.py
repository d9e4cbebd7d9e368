import pytest

from fiqa_fast.benchmark.contention import waited_fraction, waited_s


def test_threads_are_summed_up(tmp_path):
    for thread, counters in (("1", "500 2000000000 7"), ("2", "900 500000000 3")):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(counters)
    assert waited_s(tmp_path) == 2.5


@pytest.mark.parametrize("counters", [None, "", "1 x 2"])
def test_a_system_that_does_not_tell(tmp_path, counters):
    (tmp_path / "1").mkdir()
    if counters is not None:
        (tmp_path / "1" / "schedstat").write_text(counters)
    assert waited_s(tmp_path) is None
    assert waited_s(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(1.0, 3.0, 0.5), (3.0, 1.0, 0.0), (None, 1.0, None)]
)
def test_the_part_of_the_time(before, after, expected):
    assert waited_fraction(before, after, 4.0) == expected
