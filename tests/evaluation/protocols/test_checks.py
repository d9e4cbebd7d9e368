from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.evaluation.protocols.checks import (
    check_both_classes,
    check_protocol,
    check_templates,
    name_some,
)


def _protocol(pairs, mated, **changes):
    a, b = (np.array(side, np.int32) for side in zip(*pairs, strict=True))
    fields = {
        "name": "Set",
        "samples": ("a", "b", "c", "d"),
        "sources": (),
        "aligned": True,
        "identity": None,
        "sample_a": a,
        "sample_b": b,
        "mated": np.array(mated, np.bool_),
    }
    return Protocol(**{**fields, **changes})


SOUND = _protocol([(0, 1), (2, 3)], [True, False])
TEMPLATES = TemplateProtocol(
    name="Set",
    samples=("a", "b"),
    sources=(),
    aligned=False,
    landmarks=None,
    templates=("7", "9"),
    template_sample=np.array([0, 1, 1], np.int32),
    template_of=np.array([0, 1, 0], np.int32),
    media_of=np.array([0, 1, 1], np.int32),
    template_a=np.array([0], np.int32),
    template_b=np.array([1], np.int32),
    mated=np.array([True]),
)


def test_a_sound_protocol_comes_back():
    assert check_protocol(SOUND) is SOUND
    assert check_templates(TEMPLATES) is TEMPLATES
    twice = _protocol([(0, 1), (1, 0), (0, 1)], [True] * 3)
    assert check_protocol(twice) is twice


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (_protocol([(0, 1), (1, 0)], [True, False]), "got 1 that are both: a with b"),
        (_protocol([(0, 1), (2, 2), (3, 3)], [True] * 3), "got 2 of a sample with itself: c, d"),
        (_protocol([(0, 4)], [True]), "positions among 4 samples, got 0..4"),
        (_protocol([(0, -1)], [True]), "got -1..0"),
        (_protocol([(0, 1)], [True, False]), "one length, got 1, 1 and 2"),
        (replace(SOUND, samples=("a", "b", "a", "d")), "distinct names"),
        (replace(SOUND, sources=(b"",)), "a source for each of 4 samples, or none at all, got 1"),
        (replace(SOUND, identity=np.array([0, 1, 2, 2], np.int32)), "a with b as mated, c with d"),
        (replace(SOUND, comparison_scores=np.array([1.0, np.nan])), "got comparison 2 with nan"),
        (replace(SOUND, comparison_scores=np.ones(3)), "2 comparisons, got 3"),
    ],
)
def test_what_makes_no_sense(protocol, said):
    with pytest.raises(InvalidArgumentError, match=f"Set: expected .*{said}"):
        check_protocol(protocol)


def test_an_empty_protocol():
    empty = replace(SOUND, **{n: getattr(SOUND, n)[:0] for n in ("sample_a", "sample_b", "mated")})
    with pytest.raises(InvalidArgumentError, match="one comparison or more"):
        check_protocol(empty)


def test_templates_that_make_no_sense():
    with pytest.raises(InvalidArgumentError, match="in every template, got none in 9"):
        check_templates(replace(TEMPLATES, template_of=np.zeros(3, np.int32)))
    with pytest.raises(InvalidArgumentError, match="1 of a template with itself: 7"):
        check_templates(replace(TEMPLATES, template_b=np.array([0], np.int32)))


@pytest.mark.parametrize(("mated", "said"), [([True] * 3, "add non-mated"), ([False], "add mated")])
def test_one_class_alone(mated, said):
    with pytest.raises(InvalidArgumentError, match=said):
        check_both_classes(np.array(mated), "Set")
    check_both_classes(np.array([*mated, not mated[0]]), "Set")


@given(
    pairs=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()).filter(
            lambda pair: pair[0] != pair[1]
        ),
        min_size=1,
        max_size=12,
    )
)
def test_contradictions_are_those_of_a_plain_search(pairs):
    labels = {}
    for a, b, mated in pairs:
        labels.setdefault(frozenset((a, b)), set()).add(mated)
    protocol = _protocol([pair[:2] for pair in pairs], [pair[2] for pair in pairs])
    count = sum(len(of_pair) == 2 for of_pair in labels.values())
    if count:
        with pytest.raises(InvalidArgumentError, match=f"got {count} that are both"):
            check_protocol(protocol)
    else:
        assert check_protocol(protocol) is protocol


def test_a_few_names_and_the_count_of_the_rest():
    assert name_some(["a", "b"], 2) == "a, b"
    assert name_some(iter("abcde"), 5) == "a, b, c and 2 more"
