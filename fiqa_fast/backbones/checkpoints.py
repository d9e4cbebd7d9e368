"""From a weights file to a network: recognised by its keys and shapes, checked, loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from fiqa_fast.backbones import checkpoint_metadata
from fiqa_fast.backbones.activation_ranges import check_ranges, take_ranges
from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_differences import COUNTER, compare
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts, take_apart
from fiqa_fast.backbones.families import (
    dlib_resnet,
    faceqnet,
    ir,
    iresnet,
    lightqnet,
    mobilefacenet,
    sface,
    sphereface,
)
from fiqa_fast.backbones.layers.heads import recognise_head
from fiqa_fast.errors import FiqaError, InvalidArgumentError, WeightsError
from fiqa_fast.weights.file import WeightsFile, read_weights
from fiqa_fast.weights.packaged import PackagedFile

# Classifiers over the identities of the training set, which training scripts save too.
_TRAINING_ONLY = frozenset({"fc.weight", "fc.bias", "kernel", "head.kernel", "head.weight"})


class Family(Protocol):
    """What the module of a network family offers."""

    @property
    def SPECS(self) -> tuple[BackboneSpec, ...]:  # noqa: N802 (a constant of each module)
        """The facts of the family's networks."""

    def skeleton(self, name: str) -> Backbone:
        """The network of that name (of `SPECS`), its parameters not set."""

    def recognise(
        self, parts: CheckpointParts, name: str | None
    ) -> tuple[Backbone, Mapping[str, Tensor]] | None:
        """The network that fits the tensors, and the tensors by its names; None if not this family.

        The network's own parameters are not set. `name` is what the user calls it, if anything:
        it decides between networks that differ in nothing that a file shows.
        """


FAMILIES: tuple[Family, ...] = (
    sface,
    iresnet,
    sphereface,
    ir,
    mobilefacenet,
    lightqnet,
    dlib_resnet,
    faceqnet,
)


def skeleton(network: str) -> Backbone:
    """The network of a name, its parameters not set.

    Raises:
        InvalidArgumentError: no network has that name.
    """
    families = {spec.name: family for family in FAMILIES for spec in family.SPECS}
    if network not in families:
        raise InvalidArgumentError(
            f"backbones: expected network to be one of {', '.join(families)}, got {network!r};"
            " `fiqa-fast models` lists them"
        )
    return families[network].skeleton(network)


def load_checkpoint(file: str | Path | PackagedFile, network: str | None = None) -> Backbone:
    """Loads a recognition network, with its quality head if it has one, from a weights file.

    Files of torch, safetensors, ONNX, Keras, TensorFlow and dlib are read; prefixes such as
    `module.` or `base_model.` and wrapped state_dicts are recognised, and so are the architecture
    and its size, from the names and shapes of the tensors.

    Args:
        file: the weights.
        network: the network's name, of `list_backbones()`; None: whatever the file holds. Needed
            where files do not show it: MagFace's weights without their prefix.

    Returns:
        The network, frozen, in inference mode, in float32 on the CPU; its `prepare` moves it.

    Raises:
        WeightsError: the file is damaged, of another network, or of none that is known; the message
            lists what is missing, unexpected or mis-shaped.
        UnavailableError: a package that reads this format is not installed.
    """
    with torch.inference_mode(False):  # what is made in that mode can never be differentiated
        return network_of(read_weights(Path(file) if isinstance(file, str) else file), network)


def network_of(file: WeightsFile, network: str | None = None) -> Backbone:
    """Builds the network whose tensors a file holds; `load_checkpoint` for a file already read."""
    stated = file.metadata.get(checkpoint_metadata.NETWORK)
    wanted = network or stated
    file, ranges = take_ranges(file)
    parts = take_apart(file)
    found = _recognised(parts, wanted)
    if found is None:
        raise WeightsError(_unknown(parts, wanted))
    backbone, tensors = found
    for name in (network, stated):
        if name not in (None, backbone.spec.name):
            raise WeightsError(
                f"weights: expected weights of {name}, got {file.path}, which holds"
                f" {backbone.spec.name}; leave out the network's name, or bring the other file"
            )
    _fill(backbone, {**parts.beside, **tensors}, file)
    if ranges is not None:
        check_ranges(backbone, ranges, file)
    backbone.activation_ranges = ranges
    backbone.weights_sha256 = file.sha256
    backbone.bn_statistics = file.metadata.get(
        checkpoint_metadata.BN_STATISTICS, backbone.bn_statistics
    )
    return backbone.prepare(torch.device("cpu"), "float32")


def official_state_dict(backbone: Backbone) -> dict[str, Tensor]:
    """The tensors of a network and its head under the names of the released files."""
    return {name.removeprefix("head."): t for name, t in backbone.state_dict().items()}


def tensors_to_write(backbone: Backbone) -> dict[str, Tensor]:
    """Everything that a file needs to give the network again, with its activation ranges."""
    ranges = backbone.activation_ranges
    return official_state_dict(backbone) | ({} if ranges is None else ranges.tensors)


def _recognised(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """What the first family that knows the tensors makes of them; nothing is computed."""
    with torch.device("meta"):
        for family in FAMILIES:
            try:
                found = family.recognise(parts, name)
            except FiqaError:
                raise
            except Exception as error:  # the names are known, but anything can stand behind them
                raise WeightsError(
                    f"weights: expected the tensors of {family.SPECS[0].name} or its relatives,"
                    f" got {parts.file.path}, where they do not fit together"
                    f" ({type(error).__name__}: {error}); bring the whole, unchanged file"
                ) from error
            if found is not None:
                return found
    return None


def _fill(backbone: Backbone, tensors: Mapping[str, Tensor], file: WeightsFile) -> None:
    """Puts the tensors into the network, and into the head that is found beside it."""
    own = set(backbone.state_dict())
    with torch.device("meta"):
        backbone.head = recognise_head(
            {n: t for n, t in tensors.items() if n not in own}, backbone.spec.name
        )
    wanted = official_state_dict(backbone)
    beside = {n: t for n, t in tensors.items() if n not in wanted}
    ignored = _TRAINING_ONLY | _classifiers(beside, backbone.spec.embedding_size)
    differences = compare(wanted, tensors, ignored=ignored)
    if differences:
        raise WeightsError(
            f"weights: expected the tensors of {backbone.spec.name}, got {file.path} with"
            f" {differences}; bring the whole, unchanged file"
        )
    state: dict[str, Tensor] = {}
    for name, tensor in backbone.state_dict().items():
        given = tensors.get(name.removeprefix("head."))
        # What may lack is a count of training steps.
        state[name] = torch.zeros(tensor.shape) if given is None else given
        # In one memory layout, whatever the file's: sums depend on it in their last bits.
        state[name] = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(state[name])
    _check_numbers(state, file)
    backbone.load_state_dict(state, assign=True)


def _classifiers(beside: Mapping[str, Tensor], embedding_size: int) -> set[str]:
    """Names of matrices between embeddings and the many identities of a training set."""
    return {
        name
        for name, tensor in beside.items()
        if tensor.ndim == 2 and embedding_size in tensor.shape and 1 not in tensor.shape
    }


def _check_numbers(state: Mapping[str, Tensor], file: WeightsFile) -> None:
    """Refuses numbers that no trained network has: every score would be NaN."""
    for name, tensor in state.items():
        if not tensor.numel():
            raise WeightsError(
                f"weights: expected numbers in {name}, got the shape {list(tensor.shape)} in"
                f" {file.path}; bring the whole, unchanged file"
            )
        low, high = (bound.item() for bound in tensor.aminmax())  # NaN if there is any
        if not (math.isfinite(low) and math.isfinite(high)):
            found = "numbers that are not finite"
        elif name.endswith("running_var") and low < 0:
            found = "negative variances"
        else:
            continue
        raise WeightsError(
            f"weights: expected finite numbers and variances of at least 0, got {file.path} with"
            f" {found} in {name}; bring an undamaged file, in float32 if it was converted to fp16"
        )


def _unknown(parts: CheckpointParts, network: str | None) -> str:
    """Why a file fits nothing: how it differs from the network it should be, or the nearest."""
    name, skeleton = _nearest(parts, network)
    tensors = {**parts.beside, **parts.network}
    differences = str(compare(skeleton, tensors)) or "a quality head that is missing"
    nearest = "that network" if network == name else f"the nearest known layout, {name},"
    return (
        f"weights: expected {network or 'the weights of a known network'}, got {parts.file.path}"
        f" ({parts.file.format}, {len(tensors)} tensors), which differs from {nearest} in"
        f" {differences}; `fiqa-fast models` lists the networks"
    )


def _nearest(parts: CheckpointParts, network: str | None) -> tuple[str, dict[str, Tensor]]:
    """The known network of that name, or the one that shares most names and shapes."""
    shapes = {n: t.shape for n, t in parts.network.items()}
    best: tuple[float, str, dict[str, Tensor]] = (-1.0, "", {})
    with torch.device("meta"):
        for family in FAMILIES:
            for spec in family.SPECS:
                skeleton = family.skeleton(spec.name).state_dict()
                if spec.name == network:
                    return spec.name, skeleton
                own = {n: t.shape for n, t in skeleton.items() if not n.endswith(COUNTER)}
                shared = len(own.items() & shapes.items()) + len(own.keys() & shapes.keys())
                likeness = shared / (len(own) + len(shapes))
                if likeness > best[0]:
                    best = (likeness, spec.name, skeleton)
    return best[1], best[2]
