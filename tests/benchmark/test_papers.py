import pytest

from fiqa_fast.benchmark.flops import faceqan_passes
from fiqa_fast.benchmark.measure import Spread
from fiqa_fast.benchmark.papers import (
    FACEQAN_COPIES,
    PASSES,
    TABLES,
    find_case,
    missing_reason,
    paper_workloads,
)
from fiqa_fast.scorers.registry import scorer_class

FACEQAN_TABLE, OPTIMISATION_TABLE = TABLES


def _row(table, method):
    return next(row for row in table.rows if row.method == method)


def test_the_papers_numbers():
    times = {row.method: row.paper_ms / 1e3 for row in FACEQAN_TABLE.rows}
    assert times == pytest.approx(
        {
            "FaceQnet": 0.0432, "SDD-FIQA": 0.0006, "PFE": 0.0493, "PCNet": 0.0175,
            "MagFace": 0.0011, "LightQNet": 0.0535, "SER-FIQ": 0.1125,
            "FaceQAN, k=2": 0.21, "FaceQAN, k=5": 0.23, "FaceQAN, k=10": 0.30,
            "FaceQAN, k=50": 1.00, "FaceQAN, k=100": 1.87,
        }
    )  # fmt: skip
    assert {row.method: (row.paper_ms, row.spread_ms) for row in OPTIMISATION_TABLE.rows} == {
        "CR-FIQA": (11.5, 5.0), "FaceQAN": (346.5, 9.0), "SER-FIQ": (125.2, 19.5),
        "PCNet": (14.5, 1.7), "MagFace": (11.5, 4.9), "SDD-FIQA": (5.7, 5.0),
    }  # fmt: skip


def test_every_row_is_a_method_of_the_package():
    for table in TABLES:
        for row in table.rows:
            options = scorer_class(row.scorer).options_type(**row.options)
            assert all(getattr(options, k) == v for k, v in row.options.items())


def test_the_paper_s_default_is_ours():
    assert scorer_class("faceqan").options_type().k == 10


def test_passes():
    (faceqan,) = [p for p in PASSES if p.method.startswith("FaceQAN")]
    assert faceqan.needed == faceqan_passes(10, 5)


def test_workloads_have_every_k():
    ks = [w.options["k"] for w in paper_workloads() if w.name == "faceqan"]
    assert tuple(ks) == FACEQAN_COPIES
    assert not any(w.with_loop for w in paper_workloads() if w.name == "faceqan")


def test_a_case_fits_by_method_and_parameters(make_case, make_result):
    k2 = make_case(scorer="faceqan", output="score", options={"k": 2})
    usual = make_case(scorer="faceqan", output="score")
    result = make_result(k2, usual, make_case())
    assert find_case(_row(FACEQAN_TABLE, "FaceQAN, k=2"), result) == k2
    assert find_case(_row(FACEQAN_TABLE, "FaceQAN, k=10"), result) == usual
    assert find_case(_row(OPTIMISATION_TABLE, "FaceQAN"), result) == usual
    assert find_case(_row(FACEQAN_TABLE, "FaceQAN, k=5"), result) is None


def test_the_papers_network_and_then_the_fastest_way(make_case, make_result):
    common = {"scorer": "ser-fiq", "output": "score"}
    small = make_case(**common, ours_ms=Spread(1.0, None))
    slow = make_case(**common, network="iresnet100", ours_ms=Spread(90.0, None))
    fast = make_case(**common, network="iresnet100", engine="other", ours_ms=Spread(80.0, None))
    batch = make_case(**common, network="iresnet100", batch_size=8, ours_ms=Spread(9.0, None))
    row = _row(FACEQAN_TABLE, "SER-FIQ")
    assert find_case(row, make_result(small, slow, fast, batch)) == fast
    assert find_case(row, make_result(small)) == small


def test_why_there_is_no_number():
    assert missing_reason(_row(FACEQAN_TABLE, "PFE"), []) == "no weights here"
    assert "--papers" in missing_reason(_row(FACEQAN_TABLE, "FaceQAN, k=50"), [])
    assert missing_reason(_row(FACEQAN_TABLE, "FaceQAN, k=50"), ["faceqan"]) == "cannot run here"
