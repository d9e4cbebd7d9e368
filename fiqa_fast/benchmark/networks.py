"""Networks to benchmark, by name: with packaged weights, with the user's, or with the recipe's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from fiqa_fast.backbones import checkpoint_metadata
from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.checkpoints import official_state_dict
from fiqa_fast.backbones.families.none import NAME as NO_NETWORK
from fiqa_fast.backbones.registry import READY_BACKBONES, list_backbones, load_backbone
from fiqa_fast.benchmark.recipe_weights import backbone as recipe_backbone
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.weights import safetensors_file


class NetworkSource(NamedTuple):
    """Where a network's weights are.

    Attributes:
        name: of the network; None: what the file holds.
        weights: a file; None: the packaged one.
        origin: "packaged", "recipe" (drawn at random: fit for timing, not for scores), or the name
            of the user's file.
    """

    name: str | None
    weights: Path | None
    origin: str


class NetworkFiles:
    """Finds networks; recipe weights are files too, so that they load as a user's would.

    A context manager: the recipe's files are removed at its end.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fiqa-fast-benchmark-")

    def __enter__(self) -> NetworkFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def find(self, name: str | None, weights: Path | None = None) -> NetworkSource:
        """The weights of a network.

        Args:
            name: as `load_backbone` takes it; None only with `weights`.
            weights: the user's file; None takes the packaged weights, or the recipe's for networks
                that have none.

        Raises:
            InvalidArgumentError: no network has that name.
            WeightsError: a network without an embedding, whose head cannot be made up.
        """
        check_network(name)
        if weights is not None:
            return NetworkSource(name, weights, weights.name)
        if name is None or name in READY_BACKBONES:
            return NetworkSource(name, None, "packaged")
        path = Path(self._folder.name) / f"{name}.safetensors"
        if next(s for s in list_backbones() if s.name == name).embedding_size == 0:
            raise WeightsError(
                f"benchmark: expected --weights for {name}, got none; bring its file: there is no"
                " recipe for its head"
            )
        if not path.exists():
            network = recipe_backbone(name)
            metadata = checkpoint_metadata.describe(network)
            safetensors_file.write(path, official_state_dict(network), metadata)
        return NetworkSource(name, path, "recipe")


def load(source: NetworkSource, *, precision: str, device: str) -> Backbone:
    """Loads a network as a user would; errors are those of `load_backbone`."""
    return load_backbone(source.name, weights=source.weights, precision=precision, device=device)


def check_network(name: str | None) -> None:
    """Raises InvalidArgumentError unless a network has that name; None is no name, and fits."""
    names = [spec.name for spec in list_backbones() if spec.name != NO_NETWORK]
    if name is not None and name not in names:
        raise InvalidArgumentError(
            f"benchmark: expected --network to be one of {', '.join(names)}, got {name!r};"
            " `fiqa-fast models` lists them"
        )
