"""Reads config.pbtxt files, with the schema that tritonclient carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiqa_fast.errors import InvalidArgumentError, UnavailableError

CONFIG_NAME = "config.pbtxt"


@dataclass(frozen=True)
class Tensor:
    """Of an input or output: Triton's data type, and the shape without the batch."""

    kind: str
    dims: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind} [{', '.join(map(str, self.dims))}]"


@dataclass(frozen=True)
class ServedStep:
    """A step of an ensemble: names of the model's tensors -> names of the ensemble's."""

    model: str
    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class ServedConfig:
    """What of a model's configuration a check looks at.

    Attributes:
        name: of the model.
        backend: "python", ...; "tensorrt" for the platform "tensorrt_plan"; "ensemble".
        max_batch_size: 0 where there is no batch dimension.
        versions: that are asked for; () where the policy is another.
        inputs: by name.
        outputs: by name.
        optional: names of inputs that need not be sent.
        steps: of an ensemble.
        parameters: by key.
    """

    name: str
    backend: str
    max_batch_size: int
    versions: tuple[int, ...]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    optional: frozenset[str]
    steps: tuple[ServedStep, ...]
    parameters: dict[str, str]


def read_config(path: Path) -> ServedConfig:
    """Reads a config.pbtxt.

    Raises:
        InvalidArgumentError: it cannot be read, or does not parse.
        UnavailableError: tritonclient is not installed.
    """
    try:
        from google.protobuf import text_format
        from tritonclient.grpc import model_config_pb2
    except ImportError as error:
        raise UnavailableError(
            f"serve: expected the package tritonclient, got {error}; run"
            " `pip install 'fiqa-fast[serve]'`"
        ) from error
    try:
        text = path.read_text(encoding="utf-8")
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InvalidArgumentError(
            f"serve: expected a configuration of Triton in {path}, got: {error}; build the"
            " repository again"
        ) from error
    kinds = model_config_pb2.DataType
    return ServedConfig(
        name=config.name,
        backend=config.backend or config.platform.removesuffix("_plan"),
        max_batch_size=config.max_batch_size,
        versions=tuple(config.version_policy.specific.versions),
        inputs=_tensors(config.input, kinds),
        outputs=_tensors(config.output, kinds),
        optional=frozenset(tensor.name for tensor in config.input if tensor.optional),
        steps=tuple(
            ServedStep(step.model_name, dict(step.input_map), dict(step.output_map))
            for step in config.ensemble_scheduling.step
        ),
        parameters={key: value.string_value for key, value in config.parameters.items()},
    )


def _tensors(listed: Any, kinds: Any) -> dict[str, Tensor]:
    return {
        tensor.name: Tensor(kinds.Name(tensor.data_type).removeprefix("TYPE_"), tuple(tensor.dims))
        for tensor in listed
    }
