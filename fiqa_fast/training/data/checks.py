"""What can be wrong with training data, found before hours are spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.checks import name_some
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.types import Float32Array

OnFinding = Literal["error", "warn"]


@dataclass(frozen=True)
class SetSummary:
    """What a check of a training set saw.

    Attributes:
        samples: S.
        identities: number of them, those without images included.
        fewest: images of the smallest identity that has any.
        most: images of the largest.
        without_images: number of identities that have none.
        single_image: number of identities that have one.
        warnings: sentences about what is not as it should be, but was not to be an error.
    """

    samples: int
    identities: int
    fewest: int
    most: int
    without_images: int
    single_image: int
    warnings: tuple[str, ...]


def check_training_set(
    training_set: TrainingSet,
    *,
    empty_identity: OnFinding = "error",
    single_image: OnFinding = "warn",
) -> SetSummary:
    """Looks through names and identities of a training set; no image is read.

    Args:
        training_set: the set.
        empty_identity: what identities without images are: a class that is never trained.
        single_image: what identities with one image are. CR-FIQA's label of such an image says
            nothing: the class centre is the image itself. Label optimisation leaves it as it is.

    Raises:
        InvalidArgumentError: no sample; names that stand there twice; numbers of identities out of
            range; and what is to be an error.
    """
    name, identity = training_set.name, training_set.identity
    identities = len(training_set.identity_names)
    if training_set.count == 0:
        raise InvalidArgumentError(
            f"training set: expected images in {name}, got none; check the path"
        )
    if len(training_set.samples) != training_set.count:
        raise InvalidArgumentError(
            f"training set: expected a name for each of the {training_set.count} samples of {name},"
            f" got {len(training_set.samples)}; name each"
        )
    if identity.min() < 0 or identity.max() >= identities:
        raise InvalidArgumentError(
            f"training set: expected identities from 0 to {identities - 1} in {name}, got"
            f" {identity.min()} to {identity.max()}; number them as their names stand"
        )
    _check_distinct(training_set)
    sizes = np.bincount(identity, minlength=identities)
    warnings: list[str] = []
    for size, what, on_finding in (
        (0, "without images", empty_identity),
        (1, "with one image", single_image),
    ):
        found = np.flatnonzero(sizes == size)
        if not len(found):
            continue
        some = name_some((training_set.identity_names[int(i)] for i in found), len(found))
        if on_finding == "error":
            raise InvalidArgumentError(
                f"training set: expected identities with images ({'1' if size == 0 else '2'} or"
                f" more) in {name}, got {len(found)} {what}: {some}; remove them, or let this be a"
                " warning"
            )
        warnings.append(f"{name}: {len(found)} of {identities} identities are {what}: {some}")
    return SetSummary(
        samples=training_set.count,
        identities=identities,
        fewest=int(sizes[sizes > 0].min()),
        most=int(sizes.max()),
        without_images=int(np.count_nonzero(sizes == 0)),
        single_image=int(np.count_nonzero(sizes == 1)),
        warnings=tuple(warnings),
    )


def check_labels(training_set: TrainingSet, labels: npt.ArrayLike) -> Float32Array:
    """Labels in the form in which a training takes them.

    Args:
        training_set: whose samples they are of.
        labels: numbers [S].

    Returns:
        float32 [S], finite.

    Raises:
        InvalidArgumentError: another shape, no numbers, NaN, infinity, or beyond float32.
    """
    given = np.asarray(labels)
    if given.dtype.kind not in "fiu" or given.shape != (training_set.count,):
        raise InvalidArgumentError(
            f"labels: expected a number for each of the {training_set.count} samples of"
            f" {training_set.name}, got {given.dtype} {list(given.shape)}; give [S] numbers in"
            " the order of the samples"
        )
    with np.errstate(over="ignore"):  # becomes infinite, and is found
        taken = given.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(taken))
    if len(wrong):
        some = name_some(
            (f"{training_set.samples[int(i)]} ({given[i]})" for i in wrong), len(wrong)
        )
        raise InvalidArgumentError(
            f"labels: expected finite labels for {training_set.name}, got {len(wrong)} that are"
            f" not: {some}; score these samples again, or leave them out of the set"
        )
    return taken


def _check_distinct(training_set: TrainingSet) -> None:
    # Digests of 64 bits first: a set of the names themselves takes 100 bytes for each of millions.
    digests = np.fromiter(map(hash, training_set.samples), np.int64, training_set.count)
    order = np.argsort(digests, kind="stable")
    same = np.flatnonzero(digests[order[1:]] == digests[order[:-1]])
    if not len(same):
        return
    suspects = np.unique(np.concatenate([order[same], order[same + 1]]))
    seen: set[str] = set()
    twice: set[str] = set()
    for i in suspects:
        sample = training_set.samples[int(i)]
        (twice if sample in seen else seen).add(sample)
    if twice:
        raise InvalidArgumentError(
            f"training set: expected samples with distinct names in {training_set.name}, got"
            f" {name_some(sorted(twice), len(twice))} more than once; rename them (shards of"
            " a WebDataset: give each file another name)"
        )
