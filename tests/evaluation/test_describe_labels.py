"""Classifiability and changes of labels, as records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.classifiability import measure_classifiability
from fiqa_fast.evaluation.describe import (
    compare_labels,
    describe_scores,
    measure_by_network,
    require_identities,
)
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.ranks import correlate_ranks

IDENTITY = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3], np.int32)
EMBEDDINGS = np.random.default_rng(1).normal(size=(9, 8)).astype(np.float32)
PROTOCOL = Protocol(
    name="people",
    samples=tuple("abcdefghi"),
    sources=(),
    aligned=True,
    identity=IDENTITY,
    sample_a=np.array([0, 0], np.int32),
    sample_b=np.array([1, 3], np.int32),
    mated=np.array([True, False]),
)


def method(name: str, *scores: float, higher_is_better: bool = True) -> MethodScores:
    return MethodScores(name, "", higher_is_better, np.array(scores))


def test_networks_have_histograms_of_their_own_and_cr_stands_in_the_agreement() -> None:
    quality = method("worse", *np.arange(9.0), higher_is_better=False)
    by_network = measure_by_network(PROTOCOL, {"one": EMBEDDINGS, "two": EMBEDDINGS[:, :5]})

    result = describe_scores("people", [quality], by_network)

    kinds = ("CCS", "NNCCS", "CR")
    measures = [f"{kind} ({network})" for network in ("one", "two") for kind in kinds]
    assert [d.method for d in result.distributions] == ["worse", *measures]
    assert {d.data_set for d in result.distributions} == {"people"}
    assert all(sum(d.counts) == 9 for d in result.distributions)
    (agreement,) = result.agreements
    assert agreement.methods == ("worse", "CR (one)", "CR (two)")
    cr = measure_classifiability(EMBEDDINGS, IDENTITY).cr
    assert agreement.spearman[0][1] == pytest.approx(correlate_ranks(-np.arange(9.0), cr))


def test_samples_without_an_embedding_are_counted_as_missing() -> None:
    gaps = EMBEDDINGS.copy()
    gaps[4] = np.nan

    result = describe_scores("people", [], measure_by_network(PROTOCOL, {"one": gaps}))

    assert [d.missing for d in result.distributions] == [1, 1, 1]


def test_people_of_one_sample_are_told() -> None:
    notes = describe_scores("", [], measure_by_network(PROTOCOL, {"one": EMBEDDINGS})).notes
    assert len(notes) == 1
    assert "people: 1 of 9 samples" in notes[0]

    pairs = replace(PROTOCOL, identity=IDENTITY.clip(max=2))
    assert measure_by_network(pairs, {"one": EMBEDDINGS}).notes == ()


def test_without_identities_or_embeddings_the_remedy_is_named() -> None:
    unknown = replace(PROTOCOL, identity=None)
    for call in (require_identities, lambda p: measure_by_network(p, {"one": EMBEDDINGS})):
        with pytest.raises(InvalidArgumentError, match=r"people, which does not.*sub-folder"):
            call(unknown)
    with pytest.raises(InvalidArgumentError, match="--verify"):
        measure_by_network(PROTOCOL, {})


def test_a_change_of_labels_by_hand() -> None:
    methods = [
        method("raw", 5, 1, 2, 3, np.nan, 4),
        method("opt", -5, -1, -3, -2, -9, np.nan, higher_is_better=False),
    ]

    found = compare_labels("LFW", methods, "raw", "opt")

    assert (found.data_set, found.before, found.after, found.count) == ("LFW", "raw", "opt", 4)
    assert found.before_rank == pytest.approx((1, 0, 1 / 3, 2 / 3), abs=1e-5)
    assert found.after_rank == pytest.approx((1, 0, 2 / 3, 1 / 3), abs=1e-5)
    assert found.moved_fraction == 0.5
    assert found.spearman == pytest.approx(0.8)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=30))
def test_swapped_labels_swap_the_axes(labels: list[tuple[int, int]]) -> None:
    before, after = np.array(labels, float).T
    methods = [method("a", *before), method("b", *after)]

    found, swapped = compare_labels("d", methods, "a", "b"), compare_labels("d", methods, "b", "a")

    assert found.before_rank == swapped.after_rank
    assert found.after_rank == swapped.before_rank
    assert found.moved_fraction == swapped.moved_fraction
    assert all(0 <= rank <= 1 for rank in (*found.before_rank, *found.after_rank))


def test_a_scatter_of_many_samples_is_thinned() -> None:
    labels = np.random.default_rng(0).random((2, 5000))
    methods = [method("a", *labels[0]), method("b", *labels[1])]

    found = compare_labels("d", methods, "a", "b")

    assert found.count == 5000
    assert len(found.before_rank) == len(found.after_rank) == 2000
    assert np.std(found.before_rank) == pytest.approx(12**-0.5, rel=0.05)  # of all ranks


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("a", "c", r"of the methods a, b, got 'c'"),
        ("c", "a", r"of the methods a, b, got 'c'"),
        ("a", "a", "two different methods"),
        ("a", "b", "that both a and b scored, got 1"),
    ],
)
def test_labels_that_cannot_be_compared(before: str, after: str, words: str) -> None:
    methods = [method("a", 1, 2, np.nan), method("b", 1, np.nan, 2)]
    with pytest.raises(InvalidArgumentError, match=words):
        compare_labels("d", methods, before, after)
