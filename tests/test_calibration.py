from dataclasses import replace

import pytest

from fiqa_fast.calibration import (
    Calibration,
    Percentiles,
    find_calibration,
    packaged_calibrations,
    source_of,
)
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.registry import create_scorer, scorer_class

PACKAGED = [
    ("grafiqs", ("official", "paper")),
    ("faceqan", ("official", "paper")),
    ("ser-fiq", ("official", "paper")),
    ("embedding-norm", ("official",)),
    ("froq", ("official",)),
]
LIGHTQNETS = ("dm100", "dm050", "dm025")


@pytest.fixture(scope="module")
def grafiqs(sface32):
    return create_scorer("grafiqs", backbone=sface32)


def make_calibration(scorer, output, **changes):
    """A calibration that no packaged one is equal to; fields of the source that differ."""
    source = replace(source_of(scorer, output), **changes)
    return Calibration(source, Percentiles(tuple(range(101))), "numbers", 101, "0.1.0")


def test_every_output_is_calibrated_on_the_default_network(sface32):
    for name, variants in PACKAGED:
        for variant in variants:
            scorer = create_scorer(name, backbone=sface32, variant=variant)
            for output in scorer_class(name).spec.outputs:
                found = find_calibration(scorer, output)
                assert isinstance(found, Calibration), (name, variant, output)
                assert found.face_count == 186
                knots = found.scale.raw_scores
                assert [found.quality(knot) for knot in knots] == pytest.approx(
                    list(range(101)) if found.source.higher_is_better else list(range(100, -1, -1))
                )


@pytest.mark.parametrize("model", LIGHTQNETS)
def test_lightqnet_is_calibrated_on_each_of_its_networks(golden_dir, model):
    weights = golden_dir / "lightqnet" / f"lightqnet-{model}.pb"
    found = find_calibration(create_scorer("lightqnet", weights=weights, device="cpu"), "score")
    assert isinstance(found, Calibration)
    assert found.source.backbone == f"lightqnet-{model}"


def test_packaged_calibrations_are_unique():
    sources = [c.source for c in packaged_calibrations()]
    assert len(set(sources)) == len(sources) == 18 + len(LIGHTQNETS)


def test_given_calibrations_come_before_the_packaged_ones(grafiqs):
    given = make_calibration(grafiqs, "b2")
    other = make_calibration(grafiqs, "b3")
    assert find_calibration(grafiqs, "b2", [other, given]) is given
    assert find_calibration(grafiqs, "b1", [other, given]) in packaged_calibrations()


def test_two_given_calibrations_for_one_output(grafiqs):
    given = make_calibration(grafiqs, "b2")
    with pytest.raises(InvalidArgumentError, match="expected one for grafiqs b2, got 2 that fit"):
        find_calibration(grafiqs, "b2", [given, replace(given, reference_set="other")])


def test_the_reason_says_what_differs(sface32, grafiqs, monkeypatch):
    def reason(scorer=grafiqs, output="b2", given=()):
        return find_calibration(scorer, output, given)

    short = sface32.weights_sha256[:12]
    with monkeypatch.context() as patched:
        patched.setattr(sface32, "weights_sha256", "0" * 64)
        assert reason() == (
            f"no calibration for grafiqs b2 with the weights 000000000000... (the nearest has"
            f" {short}...)"
        )
        patched.setattr(sface32, "bn_statistics", "re-estimated over 9 crops")
        nearer = make_calibration(grafiqs, "b2", bn_statistics="training")
        assert reason(given=[nearer]) == (
            "no calibration for grafiqs b2 with the BatchNorm statistics re-estimated over 9 crops"
            " (the nearest has training)"
        )
        assert "the weights 000000000000..." in reason()
        assert " and the BatchNorm statistics re-estimated" in reason()
    with monkeypatch.context() as patched:
        patched.setattr(sface32, "precision", "bf16")
        assert reason() == "calibrations hold for float32 and float64, not for bf16"
    with monkeypatch.context() as patched:
        patched.setattr(sface32, "precision", "float64")
        assert isinstance(reason(), Calibration)
    with monkeypatch.context() as patched:
        patched.setattr(sface32, "spec", replace(sface32.spec, name="other"))
        assert reason() == (
            "no calibration for grafiqs b2 with the network other (the nearest has sface)"
        )
    k_5 = create_scorer("faceqan", backbone=sface32, k=5)
    assert reason(k_5, "score") == (
        'no calibration for faceqan with the parameters {"eps": 0.001, "k": 5, "l": 5, "p": 5}'
        ' (the nearest has {"eps": 0.001, "k": 10, "l": 5, "p": 5})'
    )


def test_a_method_that_was_never_calibrated(sface32, grafiqs, monkeypatch):
    monkeypatch.setattr("fiqa_fast.calibration.packaged_calibrations", tuple)
    assert find_calibration(grafiqs, "b2") == "no calibration for grafiqs b2"
    paper_only = make_calibration(grafiqs, "b2", variant="paper")
    assert find_calibration(grafiqs, "b2", [paper_only]) == (
        "no calibration for grafiqs b2 with the variant official (the nearest has paper)"
    )
