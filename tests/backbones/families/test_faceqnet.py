import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from fiqa_fast.backbones.checkpoints import load_checkpoint, network_of, official_state_dict
from fiqa_fast.errors import WeightsError
from fiqa_fast.scorers.faceqnet import FaceQnet
from fiqa_fast.weights import safetensors_file
from fiqa_fast.weights.file import WeightsFile, read_weights
from fiqa_fast.weights.keras_file import MODEL_CONFIG

# Keras' names of the convolutions: rows, channels in, channels out.
UNITS = {2: (3, 64), 3: (4, 128), 4: (6, 256), 5: (3, 512)}
HEAD = {"dense_1": (2048, 32, "relu"), "main_output": (32, 1, "linear")}


def _convolutions():
    yield "conv1/7x7_s2", (7, 7, 3, 64)
    c_in = 64
    for stage, (count, c) in UNITS.items():
        for block in range(1, count + 1):
            yield f"conv{stage}_{block}_1x1_reduce", (1, 1, c_in, c)
            yield f"conv{stage}_{block}_3x3", (3, 3, c, c)
            yield f"conv{stage}_{block}_1x1_increase", (1, 1, c, 4 * c)
            if block == 1:
                yield f"conv{stage}_{block}_1x1_proj", (1, 1, c_in, 4 * c)
            c_in = 4 * c


@pytest.fixture(scope="module")
def arrays():
    """Random weights of FaceQnet by Keras' names."""
    rng = np.random.default_rng(50)
    made = {}
    for name, shape in _convolutions():
        scale = np.sqrt(2 / np.prod(shape[:3]))
        made[f"{name}/kernel:0"] = scale * rng.standard_normal(shape, np.float32)
        ends_branch = "increase" in name
        made[f"{name}/bn/gamma:0"] = rng.uniform(0.1, 0.3 if ends_branch else 0.9, shape[3])
        made[f"{name}/bn/beta:0"] = 0.1 * rng.standard_normal(shape[3])
        made[f"{name}/bn/moving_mean:0"] = 0.1 * rng.standard_normal(shape[3])
        # About the variance of an epsilon, so that a wrong one shows.
        made[f"{name}/bn/moving_variance:0"] = rng.uniform(0.05, 1, shape[3])
    made["conv1/7x7_s2/bn/moving_variance:0"] *= 1e4  # of the size of pixels
    for name, (inputs, outputs, _) in HEAD.items():
        made[f"{name}/kernel:0"] = rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)
        made[f"{name}/bias:0"] = 0.1 * rng.standard_normal(outputs)
    made["main_output/kernel:0"] *= 0.05
    made["main_output/bias:0"] += 0.5
    return {name: array.astype(np.float32) for name, array in made.items()}


def _model_config(head=HEAD, after="avg_pool"):
    """Keras' description of the model: its last layers, as `model.save` writes it."""
    layers = [{"class_name": "InputLayer", "config": {"name": "base_input"}}]
    layers += [{"class_name": "AveragePooling2D", "config": {"name": after}}]
    layers += [{"class_name": "Flatten", "config": {"name": "flatten_1"}}]
    layers += [{"class_name": "Dropout", "config": {"name": "dropout_1", "rate": 0.5}}]
    for name, (_, outputs, activation) in head.items():
        config = {"name": name, "units": outputs, "activation": activation, "use_bias": True}
        layers.append({"class_name": "Dense", "config": config})
    return json.dumps({"class_name": "Model", "config": {"name": "model_1", "layers": layers}})


@pytest.fixture(scope="module")
def released(arrays, tmp_path_factory):
    """A file in the layout of the release: weights in groups by layer, and the description."""
    path = tmp_path_factory.mktemp("faceqnet") / "FaceQnet_v1.h5"
    layers = {}
    for weight in arrays:
        layers.setdefault(weight.rsplit("/", 1)[0], []).append(weight)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = _model_config().encode()
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, weights in layers.items():
            group = root.create_group(layer) if layer not in root else root[layer]
            group.attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight in weights:
                group.create_dataset(weight, data=arrays[weight])
    return path


@pytest.fixture(scope="module")
def file(released):
    return read_weights(released)


def _described(file: WeightsFile, config: str) -> WeightsFile:
    return replace(file, metadata={MODEL_CONFIG: config})


@pytest.fixture(scope="module")
def network(released):
    return load_checkpoint(released).prepare(torch.device("cpu"), "float64")


class Twin:
    """FaceQnet in numpy, float64, rows x columns x channels, as Keras computes it."""

    def __init__(self, arrays):
        self.arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
        self.shapes = []

    def conv(self, x, name, stride=1, same=False):
        kernel = self.arrays[f"{name}/kernel:0"]
        size = len(kernel)
        if same:
            outputs = -(-len(x) // stride)
            total = max((outputs - 1) * stride + size - len(x), 0)
            sides = (total // 2, total - total // 2)
            x = np.pad(x, (sides, sides, (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))
        x = np.tensordot(windows[::stride, ::stride], kernel, ((3, 4, 2), (0, 1, 2)))
        bn = {p: self.arrays[f"{name}/bn/{p}:0"] for p in ("gamma", "beta", "moving_mean")}
        variance = self.arrays[f"{name}/bn/moving_variance:0"]
        return (x - bn["moving_mean"]) / np.sqrt(variance + 1e-3) * bn["gamma"] + bn["beta"]

    def __call__(self, rgb):
        x = np.maximum(self.conv(rgb[..., ::-1].astype(np.float64), "conv1/7x7_s2", 2, True), 0)
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1))
        x = windows[::2, ::2].max((3, 4))
        for stage, (count, _) in UNITS.items():
            for block in range(1, count + 1):
                name = f"conv{stage}_{block}"
                stride = 2 if stage > 2 and block == 1 else 1
                y = np.maximum(self.conv(x, f"{name}_1x1_reduce", stride), 0)
                y = np.maximum(self.conv(y, f"{name}_3x3", same=True), 0)
                y = self.conv(y, f"{name}_1x1_increase")
                x = np.maximum(
                    y + (self.conv(x, f"{name}_1x1_proj", stride) if block == 1 else x), 0
                )
            self.shapes.append(x.shape)
        features = x.mean((0, 1))
        hidden = features @ self.arrays["dense_1/kernel:0"] + self.arrays["dense_1/bias:0"]
        hidden = np.maximum(hidden, 0)
        output = hidden @ self.arrays["main_output/kernel:0"] + self.arrays["main_output/bias:0"]
        return features, output[0]


def test_equals_an_independent_computation(arrays, network, crops):
    batch = torch.from_numpy(crops[:1]).permute(0, 3, 1, 2).contiguous()
    inputs = network.spec.input.fitted(batch)
    twin = Twin(arrays)
    features, output = twin(inputs[0].permute(1, 2, 0).numpy())
    assert 0.02 < output < 0.98  # nothing is cut off
    np.testing.assert_allclose(network(network.normalise(inputs))[0], features, rtol=1e-10)
    np.testing.assert_allclose(FaceQnet(network).score(crops[:1]), [output], rtol=1e-10)
    x = network.normalise(inputs)
    for stage, tap, shape in zip(
        network.stages[:4], network.spec.taps.values(), twin.shapes, strict=True
    ):
        x = stage(x)
        assert tuple(x.shape[1:]) == (shape[2], *shape[:2])
        assert f"{x.shape[1]} channels of {x.shape[2]}x{x.shape[3]}" in tap


def test_the_score_is_cut_off_to_0_and_1(network):
    reads = torch.zeros(2, 2048, dtype=torch.float64)
    head = network.head
    bias = head.dense["1_linear"].bias.clone()
    try:
        for value, expected in ((3.0, 1.0), (-3.0, 0.0)):
            head.dense["1_linear"].bias.fill_(value)
            assert head(reads).tolist() == [expected] * 2
    finally:
        head.dense["1_linear"].bias.copy_(bias)


def test_has_the_layers_the_scorers_need(network):
    seen = []
    x = torch.zeros(1, 3, 224, 224, dtype=torch.float64)
    network.trunk(x, lambda bn, y: seen.append((bn, y.shape[1])))
    assert {bn for bn, _ in seen} == set(network.batch_norms)
    assert len(seen) == len(network.batch_norms) == 53
    assert all(bn.num_features == channels for bn, channels in seen)
    assert network.bn_statistics == "training"


def test_own_names_are_recognised(network, tmp_path):
    path = tmp_path / "converted.safetensors"
    safetensors_file.write(path, official_state_dict(network), {})
    again = load_checkpoint(path)
    assert again.head.kind == "faceqnet"
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor.double(), network.state_dict()[name].double())


def test_activations_come_from_the_description(file):
    other = {"dense_1": (2048, 32, "linear"), "main_output": (32, 1, "sigmoid")}
    head = network_of(_described(file, _model_config(other))).head
    x = torch.randn(3, 2048)
    first, last = head.dense["0_linear"], head.dense["1_sigmoid"]
    assert torch.equal(head(x), torch.sigmoid(last(first(x)))[:, 0])


def test_activation_layers_belong_to_the_layer_in_front(file):
    config = json.loads(_model_config({"dense_1": (2048, 32, "linear")}))
    config["config"]["layers"] += [
        {"class_name": "Activation", "config": {"name": "a", "activation": "relu"}},
        {"class_name": "Dense", "config": {"name": "main_output", "activation": "linear"}},
    ]
    nested = {"class_name": "Sequential", "config": [config]}
    head = network_of(_described(file, json.dumps(nested))).head
    assert list(head.dense) == ["0_relu", "1_linear"]


def test_weights_of_a_model_built_twice_are_recognised(file, network):
    tensors = {}
    for name, tensor in file.tensors.items():
        layer, weight = name.rsplit("/", 1)
        tensors[f"{layer}_1/{weight}"] = tensor
    again = network_of(replace(file, tensors=tensors))
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor.double(), network.state_dict()[name].double())


def test_files_without_a_description_are_refused(file):
    with pytest.raises(WeightsError, match=r"expected a whole Keras model, got .*activations"):
        network_of(replace(file, metadata={}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (_model_config(after="pool5"), "with the layer avg_pool, got .* without it"),
        (
            _model_config({**HEAD, "main_output": (32, 1, "softmax")}),
            "activations linear, relu, sigmoid, got 'softmax'",
        ),
        (
            _model_config().replace('"Dropout"', '"BatchNormalization"'),
            "fully connected layers behind avg_pool, got BatchNormalization 'dropout_1'",
        ),
        (_model_config({"dense_1": HEAD["dense_1"]}), r"unexpected.*main_output/kernel:0"),
    ],
)
def test_other_models_are_refused(file, config, message):
    with pytest.raises(WeightsError, match=message):
        network_of(_described(file, config))


def test_missing_weights_are_named(file):
    tensors = {n: t for n, t in file.tensors.items() if n != "conv3_2_3x3/bn/gamma:0"}
    with pytest.raises(WeightsError, match=r"1 missing: layer2\.1\.middle\.bn\.weight"):
        network_of(replace(file, tensors=tensors))
