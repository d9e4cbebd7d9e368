import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from fiqa_fast.backbones.checkpoints import load_checkpoint, network_of, official_state_dict
from fiqa_fast.backbones.families import dlib_resnet
from fiqa_fast.errors import WeightsError
from fiqa_fast.images.align import ARCFACE_TEMPLATE
from fiqa_fast.weights import safetensors_file
from fiqa_fast.weights.file import WeightsFile
from fiqa_fast.weights.packaged import locate

# Channels in, channels out and stride of the 29 convolutions, in dlib's order.
STEM = [(3, 32, 2)]
UNITS = (
    [(32, 32, 1)] * 3
    + [(32, 64, 2)] + [(64, 64, 1)] * 3
    + [(64, 128, 2)] + [(128, 128, 1)] * 2
    + [(128, 256, 2)] + [(256, 256, 1)] * 2
    + [(256, 256, 2)]
)  # fmt: skip


@pytest.fixture(scope="module")
def released():
    """Arrays under the names that the reader gives dlib's, with random numbers."""
    rng = np.random.default_rng(29)
    convs = STEM + [c for c_in, c, s in UNITS for c in ((c_in, c, s), (c, c, 1))]
    arrays = {}
    for number, (c_in, c_out, _) in enumerate(convs, 1):
        size = 7 if number == 1 else 3
        scale = np.sqrt(2 / (c_in * size**2))
        arrays[f"con{number}.filters"] = scale * rng.standard_normal((c_out, c_in, size, size))
        arrays[f"con{number}.biases"] = 0.1 * rng.standard_normal(c_out)
        arrays[f"affine{number}.gamma"] = rng.uniform(0.3, 1, c_out)
        arrays[f"affine{number}.beta"] = 0.1 * rng.standard_normal(c_out)
    arrays["fc1.weights"] = rng.standard_normal((256, 128)) / 16
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _file(arrays):
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return WeightsFile(Path("face.dat"), "dlib", "0", tensors)


@pytest.fixture(scope="module")
def network(released):
    return network_of(_file(released)).prepare(torch.device("cpu"), "float64")


def _convolved(x, arrays, number, stride, padding):
    filters = arrays[f"con{number}.filters"].astype(np.float64)
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(x, filters.shape[2:], (1, 2))
    y = np.tensordot(filters, windows[:, ::stride, ::stride], ((1, 2, 3), (0, 3, 4)))
    y = y + arrays[f"con{number}.biases"][:, None, None]
    gamma, beta = arrays[f"affine{number}.gamma"], arrays[f"affine{number}.beta"]
    return gamma[:, None, None].astype(np.float64) * y + beta[:, None, None]


def _embedded(image, arrays):
    """dlib's network in numpy, float64, from an RGB image [150, 150, 3]."""
    x = (image.astype(np.float64) - (122.782, 117.001, 104.298)).transpose(2, 0, 1) / 256
    x = np.maximum(_convolved(x, arrays, 1, 2, 0), 0)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
    x = windows[:, ::2, ::2].max((3, 4))
    sizes = [x.shape]
    for unit, (_, _, stride) in enumerate(UNITS):
        y = np.maximum(_convolved(x, arrays, 2 + 2 * unit, stride, 2 - stride), 0)
        y = _convolved(y, arrays, 3 + 2 * unit, 1, 1)
        if stride == 2:
            rows, columns = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
            cut = x[:, :rows, :columns]
            x = sum(cut[:, i::2, j::2] for i, j in product((0, 1), (0, 1))) / 4
        total = np.zeros(np.maximum(x.shape, y.shape))
        for branch in (x, y):
            total[tuple(slice(size) for size in branch.shape)] += branch
        x = np.maximum(total, 0)
        sizes.append(x.shape)
    return x.mean((1, 2)) @ arrays["fc1.weights"].astype(np.float64), sizes


def test_equals_an_independent_computation(released, network, crops):
    batch = torch.from_numpy(crops[:2]).permute(0, 3, 1, 2).contiguous()
    chips = network.spec.input.fitted(batch)
    embeddings = network(network.normalise(chips)).numpy()
    for chip, embedding in zip(chips.permute(0, 2, 3, 1).numpy(), embeddings, strict=True):
        expected, _ = _embedded(chip, released)
        np.testing.assert_allclose(embedding, expected, rtol=1e-10)


def test_taps_have_the_sizes_of_the_independent_computation(released, network):
    _, sizes = _embedded(np.zeros((150, 150, 3), np.uint8), released)
    x = torch.zeros(1, 3, 150, 150, dtype=torch.float64)
    for stage, tap, units in zip(
        network.stages, network.spec.taps.values(), (3, 7, 10, 13), strict=False
    ):
        x = stage(x)
        assert x.shape[1:] == sizes[units]
        assert f"{x.shape[1]} channels of {x.shape[2]}x{x.shape[3]}" in tap
    assert sizes[-1] == (256, 2, 2)
    assert network.stages[-1](x).shape == (1, 256, 1, 1)


def test_affine_layers_have_no_statistics(network, released):
    assert network.bn_statistics == "none"
    assert len(network.batch_norms) == 29
    x = torch.linspace(-40, 40, 320, dtype=torch.float64).reshape(1, 32, 2, 5)
    gamma, beta = (released[f"affine1.{part}"].astype(float) for part in ("gamma", "beta"))
    expected = x.numpy() * gamma[:, None, None] + beta[:, None, None]
    np.testing.assert_allclose(network.batch_norms[0](x), expected, rtol=1e-14, atol=1e-14)


def test_the_observer_sees_every_batch_norm_once_in_order(network):
    seen = []
    network.trunk(
        network.normalise(torch.zeros(1, 3, 150, 150)), lambda bn, x: seen.append((bn, x.shape[1]))
    )
    assert [bn for bn, _ in seen] == network.batch_norms
    assert all(bn.num_features == channels for bn, channels in seen)


def test_the_crop_is_moved_to_dlibs_eyes():
    fit = dlib_resnet.SPEC.input.fit
    # The mean of the six points around each eye in dlib's mean face, a quarter added on each side.
    xs = [0.121737, 0.187122, 0.265825, 0.334606, 0.260918, 0.182743]
    ys = [0.216423, 0.178758, 0.179852, 0.231733, 0.245099, 0.244077]
    dlib_eye = (np.array([np.mean(xs), np.mean(ys)]) + 0.25) / 1.5 * 150
    eye = fit.scale * ARCFACE_TEMPLATE[0] + (fit.x_px, fit.y_px)
    np.testing.assert_allclose(eye, dlib_eye, atol=0.2)  # the crop's own eyes are not quite level
    crops = torch.full((1, 3, 112, 112), 200, dtype=torch.uint8)
    chip = dlib_resnet.SPEC.input.fitted(crops)[0, 0]
    assert (chip[:136] == 200).all()
    assert (chip[138:] == 0).all()


def test_own_names_are_recognised(network, tmp_path):
    path = tmp_path / "converted.safetensors"
    safetensors_file.write(path, official_state_dict(network), {})
    again = load_checkpoint(path).prepare(torch.device("cpu"), "float64")
    image = torch.rand(1, 3, 150, 150, dtype=torch.float64)
    assert torch.equal(again(image), network(image))
    assert again.bn_statistics == "none"


def test_a_missing_layer_is_named(released):
    arrays = {name: a for name, a in released.items() if name != "con5.biases"}
    with pytest.raises(WeightsError, match=r"1 missing: layer1\.1\.second\.conv\.bias"):
        network_of(_file(arrays))


def _real_weights():
    given = os.environ.get("FIQA_FAST_DLIB_RESNET")
    try:
        return Path(given) if given else locate(dlib_resnet.DEFAULT_WEIGHTS)
    except WeightsError:
        return None


@pytest.mark.skipif(
    _real_weights() is None,
    reason="needs the package face_recognition_models, or the .dat file's path in"
    " FIQA_FAST_DLIB_RESNET",
)
def test_real_weights_tell_persons_apart(crops, crop_names):
    network = load_checkpoint(_real_weights()).prepare(torch.device("cpu"), "float32")
    assert network.weights_sha256 == dlib_resnet.DEFAULT_WEIGHTS.sha256
    clean = [i for i, name in enumerate(crop_names) if "__" not in name]
    persons = np.array([crop_names[i][: len("person_a")] for i in clean])
    assert list(persons[-2:]) == ["impostor"] * 2  # two persons
    persons[-1] = "another"
    batch = torch.from_numpy(crops[clean]).permute(0, 3, 1, 2).contiguous()
    embeddings = network(network.normalise(network.spec.input.fitted(batch)))
    distances = torch.cdist(embeddings, embeddings).numpy()
    same = (persons[:, None] == persons) & ~np.eye(len(clean), dtype=bool)
    # 0.6 is the threshold that the network was trained for; observed 0.54 and 0.74.
    assert distances[same].max() < 0.6 < distances[persons[:, None] != persons].min()
