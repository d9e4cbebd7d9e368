from dataclasses import replace

import onnx
import onnxruntime
import pytest
import torch

from fiqa_fast.backbones.checkpoints import network_of
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.weights.file import read_weights

NAMES = ["mobilefacenet", "mobilefacenet-x2", "mobilefacenet-large"]


@pytest.fixture(scope="module")
def pixels(crops):
    return torch.from_numpy(crops[:1]).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def exported(recipe_backbone, export_onnx):
    return {name: export_onnx(recipe_backbone(name)) for name in NAMES}


@pytest.fixture(scope="module")
def content(exported, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    onnx.save(exported["mobilefacenet"], path)
    return read_weights(path)


def _embed(network, pixels):
    with torch.no_grad():
        return network(network.normalise(pixels))


@pytest.mark.parametrize("name", NAMES)
def test_a_folded_export_equals_onnxruntime_and_the_original(
    exported, recipe_backbone, onnx_file, pixels, name
):
    network, original = network_of(onnx_file(exported[name])), recipe_backbone(name)
    assert network.spec == original.spec
    assert network.bn_statistics == "none"
    session = onnxruntime.InferenceSession(exported[name].SerializeToString())
    (image,) = session.get_inputs()
    x = original.normalise(pixels)
    expected = torch.from_numpy(session.run(None, {image.name: x.numpy()})[0])
    embeddings = _embed(network, pixels)
    scale = embeddings.abs().max()
    assert scale > 1
    # float32 itself is up to 2e-6 from float64 on the largest of them, on either side.
    assert (embeddings - expected).abs().max() < 5e-6 * scale
    # In float64 there remains that the folded weights were rounded to float32: observed 4e-7.
    exact, folded = (n.prepare(torch.device("cpu"), "float64") for n in (original, network))
    assert (_embed(folded, pixels) - _embed(exact, pixels)).abs().max() < 1e-6 * scale
    taps = [x := exact.normalise(pixels)]
    for stage, same in zip(network.stages, original.stages, strict=True):
        x = same(x)
        taps.append(stage(taps[-1]))
        assert (taps[-1] - x).abs().max() < 1e-5 * x.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_activations_equal_the_graph_in_float64(exported, onnx_file, pixels, run_in_float64, name):
    model = exported[name]
    network = network_of(onnx_file(model)).prepare(torch.device("cpu"), "float64")
    values = run_in_float64(model, (pixels.double() - 127.5) / 127.5)
    x = network.normalise(pixels)
    (flattened,) = (n.input[0] for n in model.graph.node if n.op_type in ("Flatten", "Reshape"))
    features = network.trunk(x)
    assert (features - values[flattened].flatten(1)).abs().max() < 1e-9
    expected = values[model.graph.output[0].name]
    assert (network.embed(features) - expected).abs().max() < 1e-9


def test_an_export_that_is_not_folded_keeps_everything(recipe_backbone, export_onnx, onnx_file):
    original = recipe_backbone("mobilefacenet")
    network = network_of(onnx_file(export_onnx(original, folded=False)))
    assert network.bn_statistics == "training"
    expected = original.state_dict()
    assert network.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[n]) for n, t in network.state_dict().items())


def test_methods_on_a_folded_network(content, crops):
    network = network_of(content, "mobilefacenet-bgr")
    assert network.spec.input.channel_order == "BGR"
    assert 0 < create_scorer("faceqan", backbone=network, k=2, l=1).score(crops[:1]) <= 1
    with pytest.raises(InvalidArgumentError, match="calibrate-bn"):
        create_scorer("grafiqs", backbone=network)


def _edited(content, edit):
    nodes = list(content.graph.nodes)
    edit(nodes)
    return replace(content, graph=replace(content.graph, nodes=tuple(nodes)))


def _place(nodes, op, number):
    return [i for i, node in enumerate(nodes) if node.op == op][number]


def _other_sum(nodes):
    place, other = (_place(nodes, "Add", number) for number in (4, 0))
    branch = next(n for n in nodes[place].inputs if "project" in n)
    nodes[place] = replace(nodes[place], inputs=(branch, nodes[other].outputs[0]))


def _stride(nodes):
    place = _place(nodes, "Conv", 3)
    attributes = {**nodes[place].attributes, "strides": [1, 1]}
    nodes[place] = replace(nodes[place], attributes=attributes)


def _one_bottleneck_less(nodes):
    places = [_place(nodes, "Add", number) for number in (0, 1)]
    kept, dropped = (nodes[place].outputs[0] for place in places)
    del nodes[places[0] + 1 : places[1] + 1]
    for i, node in enumerate(nodes):
        nodes[i] = replace(
            node, inputs=tuple(kept if name == dropped else name for name in node.inputs)
        )


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_other_sum, r"expected the graph of a MobileFaceNet, got .* behind .* instead of Conv"),
        (_stride, r"strides \[1, 1\] in Conv .* instead of \[2, 2\]"),
        (_one_bottleneck_less, r"with 64 channels, \(1, 3, 6, 2\) units; bring a file of one"),
    ],
)
def test_graphs_that_go_on_as_another_network(content, edit, said):
    with pytest.raises(WeightsError, match=said):
        network_of(_edited(content, edit))


def test_another_epsilon(recipe_backbone, export_onnx, onnx_file):
    network = recipe_backbone("mobilefacenet")
    network.bn.eps = 1e-3  # the layer that torch cannot fold
    with pytest.raises(WeightsError, match=r"epsilon 1e-05 in mobilefacenet, got .* with 0\.001"):
        network_of(onnx_file(export_onnx(network)))
