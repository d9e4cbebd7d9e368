import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import WeightsError
from fiqa_fast.weights import dlib_file
from fiqa_fast.weights.file import read_weights

ONE = b"\x01\x10\x81\x04"  # the number 1.0 as dlib writes it: 16 * 2 ** -4
ZERO = b"\x01\x00\x01\x0b"


def _integer(value):
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size]) + value.to_bytes(size, "little")


def _text(text):
    return _integer(len(text)) + text.encode()


def _sizes(version, *sizes):
    return b"".join(map(_integer, (version, *sizes)))


def _tensor(values, *sizes):
    return _sizes(2, *sizes) + struct.pack(f"<{len(values)}f", *values)


MEMORY = b"110" + 3 * _tensor([], 0, 0, 0, 0)


def _conv(filters, biases):
    values = [*filters.ravel().tolist(), *biases.tolist()]
    count, channels, rows, columns = filters.shape
    content = _text("con_4") + _tensor(values, len(values), 1, 1, 1)
    content += b"".join(map(_integer, (count, rows, columns, 2, 2, 0, 0)))
    content += _sizes(1, count, channels, rows, columns) + _sizes(1, 1, count, 1, 1)
    return content + 3 * ONE + ZERO + MEMORY


def _affine(gamma, beta):
    values = [*gamma.tolist(), *beta.tolist()]
    sizes = _sizes(1, 1, len(gamma), 1, 1)
    return (
        _text("affine_") + _tensor(values, 1, len(values), 1, 1) + 2 * sizes + b"\x01\x00" + MEMORY
    )


def _fully_connected(weights, biases=None):
    inputs, outputs = weights.shape
    values = weights.ravel().tolist() + ([] if biases is None else biases.tolist())
    content = _text("fc_2") + _integer(outputs) + _integer(inputs)
    content += _tensor(values, len(values) // outputs, outputs, 1, 1)
    content += _sizes(1, inputs, outputs, 1, 1)
    content += _sizes(1, 0, 0, 0, 0) if biases is None else _sizes(1, 1, outputs, 1, 1)
    return content + b"\x01\x01" + 3 * ONE + ZERO + MEMORY


def _network(first, *layers, loss="loss_metric_2"):
    content = b"\x01\x01" + _text(loss) + ONE + ONE
    content += b"\x01\x02" * (len(layers) - 1) + b"\x01\x01\x01\x02" + b"\x01\x03"
    content += _text("input_rgb_image_sized") + 3 * ONE + _integer(150) + _integer(150)
    return content + first + b"\x01\x01" + b"".join(layers)


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(1)
    shapes = {
        "con1.filters": (4, 3, 2, 5),
        "con1.biases": (4,),
        "affine1.gamma": (4,),
        "affine1.beta": (4,),
        "con2.filters": (2, 4, 1, 1),
        "con2.biases": (2,),
        "fc1.weights": (6, 300),
    }
    return {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


@pytest.fixture(scope="module")
def content(arrays):
    pool = b"".join(map(_integer, (3, 3, 2, 2, 0, 0)))
    return _network(
        _conv(arrays["con1.filters"], arrays["con1.biases"]),
        _affine(arrays["affine1.gamma"], arrays["affine1.beta"]),
        _text("relu_") + MEMORY,
        _text("max_pool_2") + pool + MEMORY,
        _conv(arrays["con2.filters"], arrays["con2.biases"]),
        _text("avg_pool_2") + pool + MEMORY,
        _text("add_prev_") + MEMORY,
        _fully_connected(arrays["fc1.weights"]),
    )


def test_reads_parameters_in_the_order_of_the_layers(arrays, content):
    assert dlib_file.matches(content)
    tensors, metadata = dlib_file.read(content)
    assert metadata == {}
    assert list(tensors) == list(arrays)
    for name, array in arrays.items():
        assert torch.equal(tensors[name], torch.from_numpy(array))


def test_biases_of_a_fully_connected_layer(arrays):
    weights, biases = arrays["fc1.weights"], np.arange(300, dtype=np.float32)
    first = _conv(arrays["con1.filters"], arrays["con1.biases"])
    tensors, _ = dlib_file.read(_network(first, _fully_connected(weights, biases)))
    assert torch.equal(tensors["fc1.weights"], torch.from_numpy(weights))
    assert torch.equal(tensors["fc1.biases"], torch.from_numpy(biases))


def test_cut_off_files_are_refused(content, tmp_path):
    path = tmp_path / "cut.dat"
    path.write_bytes(content[:-7])
    with pytest.raises(WeightsError, match="a whole face recognition network of dlib"):
        read_weights(path)


def test_every_cut_within_a_layer_is_noticed(content):
    whole = len(dlib_file.read(content)[0])
    for size in range(9, len(content), 3):
        try:
            tensors, _ = dlib_file.read(content[:size])
        except WeightsError:
            continue
        assert len(tensors) < whole  # cut between two layers: the network's loader names the rest


def test_other_networks_of_dlib_are_refused(content):
    detector = b"\x01\x01" + _text("loss_mmod_") + content[20:]
    assert dlib_file.matches(detector)
    with pytest.raises(WeightsError, match=r"expected .*'loss_metric_2', got 'loss_mmod_'"):
        dlib_file.read(detector)
    with pytest.raises(WeightsError, match=r"layers of face recognition .* got 'dropout_'"):
        dlib_file.read(content + _text("dropout_"))


def test_parameters_that_do_not_fit_are_refused(arrays):
    first = _conv(arrays["con1.filters"], arrays["con1.biases"])
    damaged = first.replace(_sizes(1, 1, 4, 1, 1), _sizes(1, 1, 5, 1, 1))
    with pytest.raises(WeightsError, match=r"expected .* 125 parameters of a layer, got 124"):
        dlib_file.read(_network(damaged, _text("relu_") + MEMORY))


@pytest.mark.parametrize(
    "content", [b"", b"\x01\x01", b"\x01\x01\x01\x0a", b"\x01\x01\x81\x0a\x81\x01"]
)
def test_other_content_does_not_match(content):
    assert not dlib_file.matches(content)


@given(st.binary(max_size=100))
def test_arbitrary_content_is_refused(tail):
    dlib_file.matches(tail)
    with pytest.raises(WeightsError):
        dlib_file.read(b"\x01\x01\x0dloss_metric_2" + tail)
