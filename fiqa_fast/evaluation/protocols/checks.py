"""What every protocol must keep, whatever form it came in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import BoolArray, IndexArray, Protocol, TemplateProtocol

_NAMED = 3


def name_some(names: Iterable[str], count: int) -> str:
    """The first few of `count` names, and how many there are beside them."""
    shown = [name for name, _ in zip(names, range(_NAMED), strict=False)]
    rest = count - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def check_both_classes(mated: BoolArray, name: str) -> None:
    """Raises InvalidArgumentError unless there are mated and non-mated comparisons.

    Args:
        mated: bool [N].
        name: of the data set, for the message.
    """
    count = int(np.count_nonzero(mated))
    if not 0 < count < len(mated):
        missing = "non-mated" if count else "mated"
        raise InvalidArgumentError(
            f"{name}: expected mated and non-mated comparisons, got {count} mated ones of"
            f" {len(mated)}; add {missing} ones: a decision threshold at an FMR needs non-mated"
            " ones, the FNMR mated ones"
        )


def check_protocol(protocol: Protocol) -> Protocol:
    """Gives a protocol back, if it makes sense.

    Raises:
        InvalidArgumentError: no comparison; a sample compared with itself; a pair that is mated and
            non-mated; a mated pair of two identities, or a non-mated one of a single identity;
            arrays that do not fit each other.
    """
    _check_samples(protocol)
    a, b, mated = protocol.sample_a, protocol.sample_b, protocol.mated
    _check_comparisons(protocol.name, "sample", protocol.samples, a, b, mated)
    _check_scores(protocol)
    if protocol.identity is not None:
        wrong = np.flatnonzero((protocol.identity[a] == protocol.identity[b]) != mated)
        if len(wrong):
            names = (_pair(protocol.samples, a[i], b[i], mated[i]) for i in wrong)
            raise InvalidArgumentError(
                f"{protocol.name}: expected pairs to be mated where their identities are the same,"
                f" got {name_some(names, len(wrong))}; correct the labels or the identities"
            )
    return protocol


def check_templates(protocol: TemplateProtocol) -> TemplateProtocol:
    """Gives a protocol of templates back, if it makes sense.

    Raises:
        InvalidArgumentError: as `check_protocol`, and for a template without samples.
    """
    _check_samples(protocol)
    sizes = np.bincount(protocol.template_of, minlength=len(protocol.templates))
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        names = (protocol.templates[i] for i in empty)
        raise InvalidArgumentError(
            f"{protocol.name}: expected samples in every template, got none in"
            f" {name_some(names, len(empty))}; add rows that say which samples they have"
        )
    a, b, mated = protocol.template_a, protocol.template_b, protocol.mated
    _check_comparisons(protocol.name, "template", protocol.templates, a, b, mated)
    _check_scores(protocol)
    return protocol


def _check_samples(protocol: Protocol | TemplateProtocol) -> None:
    if len(protocol.sources) not in (0, len(protocol.samples)):
        raise InvalidArgumentError(
            f"{protocol.name}: expected a source for each of {len(protocol.samples)} samples, or"
            f" none at all, got {len(protocol.sources)}; give each its image"
        )
    if len(set(protocol.samples)) < len(protocol.samples):
        raise InvalidArgumentError(
            f"{protocol.name}: expected samples with distinct names, got some twice; name each once"
        )


def _check_scores(protocol: Protocol | TemplateProtocol) -> None:
    scores = protocol.comparison_scores
    if scores is None:
        return
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(scores) != len(protocol.mated) or len(wrong):
        where = f"comparison {wrong[0] + 1} with {scores[wrong[0]]}" if len(wrong) else ""
        raise InvalidArgumentError(
            f"{protocol.name}: expected a finite comparison_score for each of"
            f" {len(protocol.mated)} comparisons, got {where or len(scores)}; leave comparisons"
            " without a score out"
        )


def _check_comparisons(
    name: str, kind: str, items: Sequence[str], a: IndexArray, b: IndexArray, mated: BoolArray
) -> None:
    if not len(a) == len(b) == len(mated):
        raise InvalidArgumentError(
            f"{name}: expected {kind}_a, {kind}_b and mated of one length, got {len(a)}, {len(b)}"
            f" and {len(mated)}; give each comparison all three"
        )
    if not len(mated):
        raise InvalidArgumentError(
            f"{name}: expected one comparison or more, got none; check that the file or folder is"
            " the right one and whole"
        )
    lowest, highest = min(a.min(), b.min()), max(a.max(), b.max())
    if lowest < 0 or highest >= len(items):
        raise InvalidArgumentError(
            f"{name}: expected {kind}_a and {kind}_b to be positions among {len(items)} {kind}s,"
            f" got {lowest}..{highest}; count from 0"
        )
    itself = np.flatnonzero(a == b)
    if len(itself):
        names = (items[a[i]] for i in itself)
        raise InvalidArgumentError(
            f"{name}: expected comparisons of two different {kind}s, got {len(itself)} of a {kind}"
            f" with itself: {name_some(names, len(itself))}; remove them: such a comparison always"
            " matches"
        )
    _check_contradictions(name, items, a, b, mated)


def _check_contradictions(
    name: str, items: Sequence[str], a: IndexArray, b: IndexArray, mated: BoolArray
) -> None:
    # One number for a pair and its label, which stands in the lowest bit; in place, since there may
    # be 20 million. Numbers that differ in that bit alone are neighbours once they are sorted.
    key = np.minimum(a, b).astype(np.int64)
    key *= len(items)
    key += np.maximum(a, b)
    key *= 2
    key += mated
    key.sort()
    twice = np.flatnonzero((key[1:] ^ key[:-1]) == 1)
    if len(twice):
        pairs = (divmod(int(k) // 2, len(items)) for k in key[twice])
        names = (f"{items[i]} with {items[j]}" for i, j in pairs)
        raise InvalidArgumentError(
            f"{name}: expected each pair to be mated or non-mated, got {len(twice)} that are both:"
            f" {name_some(names, len(twice))}; remove the wrong ones"
        )


def _pair(items: Sequence[str], a: int, b: int, mated: bool) -> str:
    return f"{items[a]} with {items[b]} as {'mated' if mated else 'non-mated'}"
