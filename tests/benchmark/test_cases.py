import pytest

from fiqa_fast.benchmark.cases import (
    ALL_OUTPUTS,
    Case,
    Workload,
    least_flops,
    make_groups,
    parse_workloads,
)
from fiqa_fast.benchmark.flops import NetworkFlops
from fiqa_fast.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grafiqs", [(("grafiqs",), "b2"), (("grafiqs",), ALL_OUTPUTS)]),
        ("grafiqs.image", [(("grafiqs",), "image")]),
        ("grafiqs.all", [(("grafiqs",), ALL_OUTPUTS)]),
        ("ser-fiq", [(("ser-fiq",), "score")]),
        ("grafiqs+ser-fiq", [(("grafiqs", "ser-fiq"), ALL_OUTPUTS)]),
    ],
)
def test_workloads(text, expected):
    assert [(w.scorers, w.output) for w in parse_workloads(text)] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grafix", "got 'grafix'"),
        ("grafiqs.b9", "expected an output of grafiqs .*, got 'b9'"),
        ("ser-fiq.all", "expected an output of ser-fiq .*, got 'all'"),
        ("brisque", "expected --scorer to be one of .*, got 'brisque'"),
        ("grafiqs+", "got ''"),
    ],
)
def test_wrong_workloads(text, message):
    with pytest.raises(InvalidArgumentError, match=message):
        parse_workloads(text)


def test_the_grid():
    groups = make_groups(
        [Workload(("grafiqs",), "b2"), Workload(("faceqan",), "score")],
        ["sface", "iresnet50"],
        precisions=["float32", "bf16"],
        engines=["torch", "reference"],
        batch_sizes=None,
        threads=[1, 2],
    )
    assert [(g.network, g.workload.name, g.threads) for g in groups[:4]] == [
        ("sface", "grafiqs", 1),
        ("sface", "grafiqs", 2),
        ("sface", "faceqan", 1),
        ("sface", "faceqan", 2),
    ]
    assert len(groups) == 8
    assert len(groups[0].cases) == 8
    assert Case("bf16", "reference", 8) in groups[0].cases
    assert {case.batch_size for case in groups[2].cases} == {1, 4}


def test_a_given_batch_size_holds_for_every_method():
    workloads = [Workload(("faceqan",), "score"), Workload(("grafiqs",), "b2")]
    groups = make_groups(
        workloads, ["sface"], precisions=["auto"], engines=["auto"], batch_sizes=[3, 3], threads=[1]
    )
    assert [g.cases for g in groups] == [(Case("auto", "auto", 3),)] * 2


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"batch_sizes": [1, 0], "threads": [1]}, "--batch-size >= 1, got 0"),
        ({"batch_sizes": None, "threads": [-1]}, "--threads >= 1, got -1"),
    ],
)
def test_numbers_below_one(numbers, message):
    with pytest.raises(InvalidArgumentError, match=message):
        make_groups([], [], precisions=["auto"], engines=["auto"], **numbers)


def test_the_least_operations_of_a_workload():
    network = NetworkFlops((1.0, 10.0, 100.0, 1000.0, 0.0), 0.5)
    for output, expected in (("b2", 2211.0), (ALL_OUTPUTS, 2222.0), ("mse_bns", 1111.0)):
        assert least_flops(Workload(("grafiqs",), output), network) == expected
    assert least_flops(Workload(("faceqan",), "score", {"k": 1, "l": 1}), network) == 3 * 1111.5
