import io
import sys

import h5py
import numpy as np
import pytest
import torch

from fiqa_fast.errors import UnavailableError, WeightsError

KERNEL = np.arange(12, dtype=np.float32).reshape(3, 4)


def _file(fill) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def _layer(root, layer, weights):
    group = root.create_group(layer)
    group.attrs["weight_names"] = [name.encode() for name in weights]
    for name, value in weights.items():
        group[name] = value


def _layers(root, layers):
    root.attrs["layer_names"] = [name.encode() for name in layers]
    for layer, weights in layers.items():
        _layer(root, layer, weights)


@pytest.mark.parametrize("whole_model", [False, True])
def test_both_layouts(read_content, whole_model):
    layers = {
        "input_1": {},
        "conv1/7x7_s2": {"conv1/7x7_s2/kernel:0": KERNEL},
        "bn": {"bn/gamma:0": KERNEL[0], "bn/moving_mean:0": KERNEL[1]},
    }

    def fill(file):
        root = file.create_group("model_weights") if whole_model else file
        _layers(root, layers)
        if whole_model:
            file.attrs["model_config"] = b'{"class_name": "Model"}'
            file.create_group("optimizer_weights")["iteration:0"] = 3

    file = read_content(_file(fill))
    assert file.format == "keras"
    config = {"model_config": '{"class_name": "Model"}'} if whole_model else {}
    assert dict(file.metadata) == config
    assert list(file.tensors) == ["conv1/7x7_s2/kernel:0", "bn/gamma:0", "bn/moving_mean:0"]
    np.testing.assert_array_equal(file.tensors["conv1/7x7_s2/kernel:0"], KERNEL)
    np.testing.assert_array_equal(file.tensors["bn/moving_mean:0"], KERNEL[1])


def test_a_name_that_two_layers_use_gets_the_layer_in_front(read_content):
    layers = {
        "dense": {"kernel:0": KERNEL, "bias:0": KERNEL[0]},
        "dense_1": {"kernel:0": 2 * KERNEL},
    }
    tensors = read_content(_file(lambda file: _layers(file, layers))).tensors
    assert set(tensors) == {"dense/kernel:0", "dense_1/kernel:0", "bias:0"}
    np.testing.assert_array_equal(tensors["dense_1/kernel:0"], 2 * KERNEL)


def test_long_lists_of_names_in_parts(read_content):
    def fill(file):
        for i, layers in enumerate((["a", "b"], ["c"])):
            file.attrs[f"layer_names{i}"] = [name.encode() for name in layers]
            for layer in layers:
                _layer(file, layer, {f"{layer}/kernel:0": KERNEL})

    assert list(read_content(_file(fill)).tensors) == ["a/kernel:0", "b/kernel:0", "c/kernel:0"]


@pytest.mark.parametrize(("stored", "dtype"), [("f2", torch.float16), ("f8", torch.float64)])
def test_dtypes_are_those_of_the_file(read_content, stored, dtype):
    layers = {"a": {"a/kernel:0": KERNEL.astype(stored)}}
    tensor = read_content(_file(lambda file: _layers(file, layers))).tensors["a/kernel:0"]
    assert tensor.dtype == dtype
    np.testing.assert_array_equal(tensor, KERNEL)


def test_other_hdf5_files(read_content):
    with pytest.raises(WeightsError, match=r"in the layout of Keras 2.*weights\.bin: one without"):
        read_content(_file(lambda file: file.create_dataset("layers/conv/vars/0", data=KERNEL)))


def test_a_weight_that_is_listed_but_not_there(read_content):
    def fill(file):
        _layers(file, {"a": {"a/kernel:0": KERNEL}})
        del file["a/a/kernel:0"]

    with pytest.raises(WeightsError, match=r"weights\.bin: none for a/a/kernel:0"):
        read_content(_file(fill))


def test_links_out_of_the_file_are_not_followed(read_content, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["kernel"] = KERNEL

    def link(file):
        _layers(file, {"a": {"a/kernel:0": KERNEL}})
        del file["a/a/kernel:0"]
        file["a/a/kernel:0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "kernel")

    with pytest.raises(WeightsError, match=r"weights\.bin: none for a/a/kernel:0"):
        read_content(_file(link))

    (tmp_path / "raw").write_bytes(KERNEL.tobytes())

    def external(file):
        _layers(file, {"a": {"a/kernel:0": KERNEL}})
        del file["a/a/kernel:0"]
        outside = [(str(tmp_path / "raw"), 0, KERNEL.nbytes)]
        file.create_dataset("a/a/kernel:0", KERNEL.shape, "f4", external=outside)

    with pytest.raises(WeightsError, match="a/a/kernel:0 with its numbers in another file"):
        read_content(_file(external))


def test_text_in_place_of_numbers(read_content):
    layers = {"a": {"a/kernel:0": np.array([b"x", b"y"])}}
    with pytest.raises(WeightsError, match=r"expected numbers, got .*: a/a/kernel:0"):
        read_content(_file(lambda file: _layers(file, layers)))


def test_without_h5py(read_content, monkeypatch):
    content = _file(lambda file: _layers(file, {"a": {"a/kernel:0": KERNEL}}))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UnavailableError, match=r"weights\.bin: .*h5py; run `pip install h5py`"):
        read_content(content)
