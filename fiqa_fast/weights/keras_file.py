"""Keras HDF5 files (.h5): a whole model, or its weights only, as Keras 1 and 2 write them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.errors import UnavailableError, WeightsError

if TYPE_CHECKING:
    import h5py

NAME = "keras"

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Where the file holds the whole model: the group of the weights, and the description as JSON.
_MOST_EXPANSION = 64  # chunks that were never written can claim any size
_WEIGHTS, MODEL_CONFIG = "model_weights", "model_config"


def matches(content: bytes) -> bool:
    """Whether the content begins with HDF5's signature."""
    return content.startswith(_SIGNATURE)


def read(content: bytes) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    """The weights under the names that Keras gave them, such as "conv1/7x7_s2/kernel:0".

    Keras lists layers, and for each layer the names of its weights. Where two layers have a weight
    of the same name, the layer stands in front: "dense_1/kernel:0". The metadata of a whole model
    hold its layers as Keras' JSON under MODEL_CONFIG.

    Raises:
        UnavailableError: h5py is not installed.
        WeightsError: an HDF5 file that Keras did not write, or in its newer layout.
    """
    try:
        import h5py
    except ImportError as error:
        raise UnavailableError(
            "weights: expected a file that the installed packages read, got one of Keras, which"
            " needs h5py; run `pip install h5py`"
        ) from error
    with h5py.File(io.BytesIO(content), "r") as file:
        root = file.get(_WEIGHTS, file)
        layers = _texts(root.attrs, "layer_names")
        if not layers:
            raise WeightsError(
                "weights: expected an HDF5 file in the layout of Keras 2, got one without"
                " `layer_names`; save it with `model.save_weights(path, save_format='h5')`"
            )
        stored = _datasets(root)
        listed = [(la, w) for la in layers for w in _texts(root[la].attrs, "weight_names")]
        counts = Counter(weight for _, weight in listed)
        tensors: dict[str, Tensor] = {}
        for layer, weight in listed:
            path = f"{layer}/{weight}"
            if path not in stored:
                raise WeightsError(
                    f"weights: expected every weight that Keras lists, got none for {path};"
                    " download or export the file again"
                )
            tensors[weight if counts[weight] == 1 else path] = _tensor(path, stored[path])
        known = MODEL_CONFIG in file.attrs
        metadata = {MODEL_CONFIG: _text(file.attrs[MODEL_CONFIG])} if known else {}
    return tensors, metadata


def _texts(attributes: h5py.AttributeManager, name: str) -> list[str]:
    """A list of names: one attribute, or, since HDF5 limits the size, its parts with numbers."""
    parts = [name]
    if name not in attributes:
        parts = [part for i in range(len(attributes)) if (part := f"{name}{i}") in attributes]
    return [_text(value) for part in parts for value in attributes[part]]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Everything stored below the group, by path. Links into other files are not followed."""
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def visit(path: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[path] = item

    group.visititems(visit)
    return found


def _tensor(path: str, dataset: h5py.Dataset) -> Tensor:
    if dataset.is_virtual or dataset.external:
        raise WeightsError(
            f"weights: expected all weights in one file, got {path} with its numbers in another"
            " file; export the model again"
        )
    if dataset.nbytes > _MOST_EXPANSION * max(dataset.id.get_storage_size(), 1):
        raise WeightsError(
            f"weights: expected numbers, got {path} with {dataset.nbytes} bytes of which"
            f" {dataset.id.get_storage_size()} are stored; export the model again"
        )
    if dataset.dtype.kind not in "fiu":
        raise WeightsError(
            f"weights: expected numbers, got {path} of {dataset.dtype}; export the model again"
        )
    return torch.from_numpy(np.array(dataset[()]))
