"""The fully connected layers at the end of a Keras model, from the description in its file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fiqa_fast.errors import WeightsError
from fiqa_fast.weights.file import WeightsFile
from fiqa_fast.weights.keras_file import MODEL_CONFIG

_NOTHING_IN_INFERENCE = ("Flatten", "Dropout", "GlobalAveragePooling2D")


def dense_layers_after(layer: str, file: WeightsFile) -> list[tuple[str, str]]:
    """Name and activation of each fully connected layer behind a layer of a Keras model.

    Args:
        layer: name of the layer in front of them.
        file: a whole Keras model, whose metadata hold its description.

    Returns:
        In the order of the pass; activations under Keras' names ("linear", "relu", ...).

    Raises:
        WeightsError: the file holds no description, or other layers stand there.
    """
    if MODEL_CONFIG not in file.metadata:
        raise WeightsError(
            f"weights: expected a whole Keras model, got {file.path}, which does not describe its"
            " layers, so that their activations are unknown; bring the released file, or save it"
            " with `model.save`"
        )
    layers = list(_layers(json.loads(file.metadata[MODEL_CONFIG])))
    names = [found["config"].get("name") for found in layers]
    if layer not in names:
        raise WeightsError(
            f"weights: expected a Keras model with the layer {layer}, got {file.path} without it;"
            " bring the released file"
        )
    dense: list[tuple[str, str]] = []
    for found in layers[names.index(layer) + 1 :]:
        kind, config = found["class_name"], found["config"]
        if kind == "Dense":
            dense.append((config["name"], config["activation"]))
        elif kind == "Activation" and dense and dense[-1][1] == "linear":
            dense[-1] = (dense[-1][0], config["activation"])
        elif kind not in _NOTHING_IN_INFERENCE:
            raise WeightsError(
                f"weights: expected fully connected layers behind {layer}, got {kind}"
                f" {config.get('name')!r} in {file.path}; bring the released file"
            )
    return dense


def _layers(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers of a model, and of models inside it, in Keras' order."""
    config = model["config"]
    for layer in config if isinstance(config, list) else config["layers"]:
        if isinstance(layer["config"], list) or "layers" in layer["config"]:
            yield from _layers(layer)
        else:
            yield layer
