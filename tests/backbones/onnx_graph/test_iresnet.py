from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from fiqa_fast.backbones import checkpoint_metadata
from fiqa_fast.backbones.batch_norm_statistics import estimate_statistics, replace_statistics
from fiqa_fast.backbones.checkpoints import load_checkpoint, network_of, official_state_dict
from fiqa_fast.backbones.layers.heads import CrFiqaHead
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.weights import safetensors_file
from fiqa_fast.weights.file import read_weights
from fiqa_fast.weights.onnx_file import Node


@pytest.fixture(scope="module")
def original(recipe_backbone):
    return recipe_backbone("iresnet18")


@pytest.fixture(scope="module")
def exported(original, export_onnx):
    return export_onnx(original)


@pytest.fixture(scope="module")
def content(exported, tmp_path_factory):
    """The export, read once: most tests change the graph that was read, not the file."""
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    onnx.save(exported, path)
    return read_weights(path)


@pytest.fixture(scope="module")
def pixels(crops):
    return torch.from_numpy(crops[[0, 9]]).permute(0, 3, 1, 2)


def _normalised(pixels):
    return (pixels.double() - 127.5) / 127.5


def _embed(network, pixels):
    with torch.no_grad():
        return network(network.normalise(pixels))


def _onnxruntime(model, x):
    """Embeddings of a batch, one image after the other, as the exports want them."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (image,) = session.get_inputs()
    runs = [session.run(None, {image.name: row[None].float().numpy()})[0] for row in x]
    return torch.from_numpy(np.concatenate(runs))


def _largest(difference):
    return difference.abs().max()


# Exports of torch.


def test_a_folded_export_equals_onnxruntime_and_the_original(content, exported, original, pixels):
    network = network_of(content)
    assert network.spec == original.spec
    assert network.bn_statistics == "none"
    assert network.weights_sha256 == content.sha256
    embeddings = _embed(network, pixels)
    assert _largest(embeddings - _onnxruntime(exported, _normalised(pixels))) < 1e-5
    assert _largest(embeddings - _embed(original, pixels)) < 1e-5
    assert embeddings.std() > 0.1


def test_activations_equal_the_graph_in_float64(content, exported, pixels, run_in_float64):
    network = network_of(content).prepare(torch.device("cpu"), "float64")
    values = run_in_float64(exported, _normalised(pixels))
    outputs = {op: [n.output[0] for n in exported.graph.node if n.op_type == op] for op in ("Add",)}
    taps = [values[name] for name in outputs["Add"][1::2]]  # two units for each layer
    flattened = next(n.input[0] for n in exported.graph.node if n.op_type == "Flatten")
    x = network.normalise(pixels)
    for stage, expected in zip(network.stages, [*taps, values[flattened]], strict=True):
        x = stage(x)
        assert x.shape == expected.shape
        assert _largest(x - expected) < 1e-9
    embeddings = network.embed(x.flatten(1))
    assert _largest(embeddings - values[exported.graph.output[0].name]) < 1e-9


def test_an_export_that_is_not_folded_keeps_everything(original, export_onnx, onnx_file):
    model = export_onnx(original, folded=False)
    network = network_of(onnx_file(model))
    assert network.bn_statistics == "training"
    expected = original.state_dict()
    assert network.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[n]) for n, t in network.state_dict().items())


def test_names_do_not_matter(content, original, pixels):
    """As insightface's packs: numbers, where torch has other names today."""
    graph = content.graph
    new = {name: str(number) for number, name in enumerate(graph.constants)}
    nodes = tuple(
        replace(n, inputs=tuple(new.get(name, name) for name in n.inputs)) for n in graph.nodes
    )
    tensors = {new[name]: tensor for name, tensor in content.tensors.items()}
    constants = {new[name]: tensor for name, tensor in graph.constants.items()}
    renamed = replace(
        content, tensors=tensors, graph=replace(graph, nodes=nodes, constants=constants)
    )
    assert _largest(_embed(network_of(renamed), pixels) - _embed(original, pixels)) < 1e-5


def test_grafiqs_needs_new_statistics(content, crops, tmp_path):
    network = network_of(content)
    with pytest.raises(InvalidArgumentError, match="calibrate-bn"):
        create_scorer("grafiqs", backbone=network)
    before = _embed(network, torch.from_numpy(crops[:1]).permute(0, 3, 1, 2))
    replace_statistics(network, estimate_statistics(network, crops[:2]))
    after = _embed(network, torch.from_numpy(crops[:1]).permute(0, 3, 1, 2))
    assert _largest(after - before) < 1e-5
    path = tmp_path / "calibrated.safetensors"
    safetensors_file.write(
        path, official_state_dict(network), checkpoint_metadata.describe(network)
    )
    again = load_checkpoint(path)
    assert again.bn_statistics.startswith("re-estimated over 2 crops")
    score = create_scorer("grafiqs", backbone=again).score(crops[:2])
    assert torch.equal(score, create_scorer("grafiqs", backbone=network).score(crops[:2]))
    assert (score > 0).all()


@pytest.mark.parametrize(("method", "options"), [("ser-fiq", {}), ("faceqan", {"k": 2, "l": 1})])
def test_other_methods_score_as_on_the_original(content, original, crops, method, options):
    scores = [
        create_scorer(method, backbone=network, **options).score(crops[:1])
        for network in (network_of(content), original)
    ]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=0)


def test_a_folded_network_survives_conversion(content, pixels, tmp_path):
    network = network_of(content)
    path = tmp_path / "converted.safetensors"
    safetensors_file.write(
        path, official_state_dict(network), checkpoint_metadata.describe(network)
    )
    again = load_checkpoint(path)
    assert again.bn_statistics == "none"
    assert torch.equal(_embed(again, pixels), _embed(network, pixels))


@pytest.fixture(scope="module")
def with_head(recipe_backbone):
    with torch.device("meta"):
        head = CrFiqaHead(512)
    return recipe_backbone("iresnet18", head=head)


def _export_with_head(export_onnx, original, change):
    def run(net, x):
        embedding = net(x)
        return embedding, change(net.head(embedding))

    model = export_onnx(original, run)
    for tensor in model.graph.initializer:  # CR-FIQA's own network has no such level
        tensor.name = tensor.name.removeprefix("head.")
    for node in model.graph.node:
        node.input[:] = [name.removeprefix("head.") for name in node.input]
    return model


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda q: q.sigmoid(), "Sigmoid .* behind the embedding"),
        (lambda q: 100 * q, "Mul .* behind the embedding"),
        (lambda q: q / 2, "Div .* behind the embedding"),
        (lambda q: q.clamp(0, 1), "Clip .* behind the embedding"),
    ],
)
def test_a_head_whose_result_is_changed_is_refused(with_head, export_onnx, onnx_file, change, said):
    """The score would be another number than the file's, perhaps of the other polarity."""
    with pytest.raises(WeightsError, match=said):
        network_of(onnx_file(_export_with_head(export_onnx, with_head, change)))


def test_an_embedding_divided_by_a_number_is_refused(exported, onnx_file):
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(2), "two"))
    (output,) = model.graph.output
    model.graph.node.append(helper.make_node("Div", [output.name, "two"], ["half"]))
    output.name = "half"
    with pytest.raises(WeightsError, match="Div half behind the embedding"):
        network_of(onnx_file(model))


def test_a_quality_head_behind_the_embedding(with_head, export_onnx, onnx_file, crops):
    original = with_head
    network = network_of(onnx_file(_export_with_head(export_onnx, original, lambda q: q)))
    assert network.head.kind == "cr-fiqa"
    scores = [create_scorer("cr-fiqa", backbone=n).score(crops[:2]) for n in (network, original)]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-6)


# What the graph does with pixels.


def test_another_scale_in_the_graph(exported, onnx_file, pixels):
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    for name, value in (("mean", 127.5), ("scale", 0.0078125)):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    first = next(n for n in model.graph.node if n.op_type == "Conv")
    subtract = helper.make_node("Sub", [first.input[0], "mean"], ["centred"])
    first.input[0] = "scaled"
    model.graph.node.insert(0, helper.make_node("Mul", ["centred", "scale"], ["scaled"]))
    model.graph.node.insert(0, subtract)
    network = network_of(onnx_file(model))
    assert network.spec.name == "iresnet18"
    assert network.spec.input.pixel_scale == 127.5
    assert _largest(_embed(network, pixels) - _onnxruntime(model, pixels)) < 1e-5


def test_another_mean_is_refused(content):
    def subtract(nodes):
        conv = _place(nodes, "Conv")
        nodes.insert(0, Node("Sub", "", (nodes[conv].inputs[0], "mean"), ("centred",), {}))
        conv += 1
        nodes[conv] = replace(nodes[conv], inputs=("centred", *nodes[conv].inputs[1:]))

    edited = _edited(content, subtract, mean=torch.tensor([123.0, 117.0, 104.0])[:, None, None])
    with pytest.raises(
        WeightsError, match=r"is none of them.*pixel - \[123, 117, 104\]\) / \[1, 1"
    ):
        network_of(edited)
    with pytest.raises(WeightsError, match=r"expected a graph that sees \(112x112 RGB.*123, 117"):
        network_of(edited, "iresnet18")


# Graphs of other networks.


def _place(nodes, op, number=0):
    return [i for i, node in enumerate(nodes) if node.op == op][number]


def _edited(content, edit, **constants):
    """The file with another graph: `edit` changes a list of nodes."""
    nodes = list(content.graph.nodes)
    edit(nodes)
    graph = replace(
        content.graph,
        nodes=tuple(nodes),
        constants={**content.graph.constants, **constants},
    )
    return replace(content, graph=graph)


def _skip_from_elsewhere(nodes):
    add = _place(nodes, "Add", 3)
    branch, _ = nodes[add].inputs
    nodes[add] = replace(nodes[add], inputs=(branch, nodes[_place(nodes, "Add", 0)].outputs[0]))


def _no_add(nodes):
    add = nodes.pop(_place(nodes, "Add", 3))
    for i, node in enumerate(nodes):
        inputs = tuple(add.inputs[0] if n == add.outputs[0] else n for n in node.inputs)
        nodes[i] = replace(node, inputs=inputs)


def _relu(nodes):
    place = _place(nodes, "PRelu", 2)
    nodes[place] = replace(nodes[place], op="Relu", inputs=nodes[place].inputs[:1])


def _attribute(name, value, op="Conv", number=3):
    def edit(nodes):
        place = _place(nodes, op, number)
        nodes[place] = replace(nodes[place], attributes={**nodes[place].attributes, name: value})

    return edit


def _no_bias(nodes):
    place = _place(nodes, "Conv", 3)
    nodes[place] = replace(nodes[place], inputs=nodes[place].inputs[:2])


def _one_unit_less(nodes):
    last = [_place(nodes, "Add", number) for number in (6, 7)]
    removed = nodes[last[0] + 1 : last[1] + 1]
    del nodes[last[0] + 1 : last[1] + 1]
    place = last[0] + 1
    nodes[place] = replace(
        nodes[place], inputs=(nodes[last[0]].outputs[0], *nodes[place].inputs[1:])
    )
    assert len(removed) == 5


def _sigmoid_at_the_end(nodes):
    nodes.append(Node("Sigmoid", "", nodes[-1].outputs, ("quality",), {}))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_skip_from_elsewhere, r"BatchNormalization .* and Add .* and Add .* behind"),
        (_no_add, r"got .*network\.onnx with Conv .* behind .* instead of Flatten"),
        (_relu, r"with Relu .* behind .* instead of PRelu"),
        (_attribute("strides", [2, 2], number=1), r"strides \[2, 2\] in Conv .* of \[1, 1\]"),
        (_attribute("pads", [0, 0, 1, 1]), r"pads \[0, 0, 1, 1\] in Conv"),
        (_attribute("dilations", [2, 2]), r"dilations \[2, 2\] in Conv"),
        (_attribute("auto_pad", b"SAME_UPPER"), "automatic padding in Conv"),
        (_attribute("training_mode", 1, "BatchNormalization"), "in training mode"),
        (_attribute("alpha", 2.0, "Gemm", 0), "Gemm .* with factors"),
        (_attribute("axis", 2, "Flatten", 0), "axis 2 in Flatten"),
        (_no_bias, "Conv .* alone instead of a bias or BatchNormalization"),
        (_one_unit_less, r"an iresnet of \(2, 2, 2, 2\), .* with \(2, 2, 2, 1\)"),
        (_sigmoid_at_the_end, "Sigmoid quality behind the embedding .* instead of the end"),
        (
            _attribute("epsilon", 1e-3, "BatchNormalization"),
            "is none of them.*epsilon 1e-05, 0.001",
        ),
    ],
)
def test_graphs_that_go_on_as_another_network(content, edit, said):
    with pytest.raises(WeightsError, match=said):
        network_of(_edited(content, edit))


def test_tensors_of_another_shape(content):
    name = content.graph.nodes[_place(content.graph.nodes, "Conv", 2)].inputs[1]
    edited = _edited(content, lambda nodes: None, **{name: torch.zeros(64, 32, 3, 3)})
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv2\.weight \[64, 32, 3, 3\] instead of"):
        network_of(edited)


def test_slopes_that_are_not_of_channels(content):
    name = content.graph.nodes[_place(content.graph.nodes, "PRelu")].inputs[1]
    edited = _edited(content, lambda nodes: None, **{name: torch.zeros(64, 112, 112)})
    with pytest.raises(WeightsError, match=r"slopes \[64, 112, 112\] in PRelu"):
        network_of(edited)


def test_a_tensor_that_is_computed_is_refused(content):
    def swap(nodes):
        place = _place(nodes, "Conv", 1)
        inputs = nodes[place].inputs
        nodes[place] = replace(nodes[place], inputs=(inputs[0], "elsewhere", inputs[2]))

    with pytest.raises(WeightsError, match="on elsewhere instead of a tensor of the file"):
        network_of(_edited(content, swap))


def test_another_name_than_the_networks(content):
    with pytest.raises(WeightsError, match=r"epsilon 2e-05 in magface-iresnet18.*1e-05; leave out"):
        network_of(content, "magface-iresnet18")
    with pytest.raises(WeightsError, match=r"expected weights of iresnet50.*holds iresnet18"):
        network_of(content, "iresnet50")


def test_a_plain_network_of_convolutions(export_onnx, onnx_file):
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 110**2, 4))
    file = onnx_file(export_onnx(plain))
    with pytest.raises(WeightsError, match=r"known network, got .*onnx, 4 tensors\).*unexpected"):
        network_of(file)


# MXNet's networks.


def _mxnet_model(state, *, slopes="reshaped", prepares=True):
    """LResNet-18E-IR as MXNet 1.x exports it: initialisers among the inputs, opset 8."""
    values, nodes = {}, []

    def node(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def value(name, array):
        values[name] = numpy_helper.from_array(np.asarray(array), name)
        return name

    def batch_norm(x, name, own):
        parts = [value(f"{name}_{there}", state[f"{own}.{here}"]) for there, here in PARTS.items()]
        old = {"spatial": 0} if slopes == "plain" else {}
        return node("BatchNormalization", [x, *parts], name, epsilon=2e-5, momentum=0.9, **old)

    def conv(x, name, own, stride=1):
        weight = state[f"{own}.weight"]
        kernel = weight.shape[-1]
        settings = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "dilations": [1, 1]}
        weights = value(f"{name}_weight", weight)
        pads = [kernel // 2] * 4
        return node("Conv", [x, weights], name, group=1, pads=pads, **settings)

    def prelu(x, name, own):
        slope = value(f"{name}_gamma", state[f"{own}.weight"])
        if slopes == "reshaped":  # as people mend the files that MXNet 1.5 wrote
            shape = value(f"slope_{name}", np.array([1, -1, 1, 1]))
            slope = node("Reshape", [slope, shape], f"{name}_reshaped")
        return node("PRelu", [x, slope], name)

    x = node("Identity", ["data"], "id")
    if prepares:
        x = node("Sub", [x, value("scalar_op1", np.float32([127.5]))], "_minusscalar0")
        x = node("Mul", [x, value("scalar_op2", np.float32([0.0078125]))], "_mulscalar0")
    x = prelu(batch_norm(conv(x, "conv0", "conv1"), "bn0", "bn1"), "relu0", "prelu")
    for stage in range(1, 5):
        for unit in (1, 2):
            there, own, stride = f"stage{stage}_unit{unit}", f"layer{stage}.{unit - 1}", 3 - unit
            y = conv(batch_norm(x, f"{there}_bn1", f"{own}.bn1"), f"{there}_conv1", f"{own}.conv1")
            y = prelu(batch_norm(y, f"{there}_bn2", f"{own}.bn2"), f"{there}_relu1", f"{own}.prelu")
            y = batch_norm(
                conv(y, f"{there}_conv2", f"{own}.conv2", stride), f"{there}_bn3", f"{own}.bn3"
            )
            if unit == 1:
                x = conv(x, f"{there}_conv1sc", f"{own}.downsample.0", stride)
                x = batch_norm(x, f"{there}_sc", f"{own}.downsample.1")
            x = node("Add", [y, x], f"_plus{2 * stage + unit - 3}")
    x = node("Dropout", [batch_norm(x, "bn1", "bn2")], "dropout0", ratio=0.4)
    weights = [value(f"pre_fc1_{part}", state[f"fc.{part}"]) for part in ("weight", "bias")]
    x = node("Flatten", [x], "flatten_1")
    x = node("Gemm", [x, *weights], "pre_fc1", alpha=1.0, beta=1.0, transA=0, transB=1)
    batch_norm(x, "fc1", "features")

    def info(name, shape, kind=onnx.TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [info("data", [1, 3, 112, 112])]
    inputs += [info(v.name, list(v.dims), v.data_type) for v in values.values()]
    graph = helper.make_graph(
        nodes, "mxnet_converted_model", inputs, [info("fc1", [1, 512])], list(values.values())
    )
    opset = [helper.make_opsetid("", 8)]
    return helper.make_model(graph, opset_imports=opset, ir_version=3)


PARTS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}


def test_mxnets_network(original, onnx_file, pixels, run_in_float64):
    model = _mxnet_model(original.state_dict())
    network = network_of(onnx_file(model))
    assert network.spec.name == "mxnet-iresnet18"
    assert (network.spec.input.pixel_mean, network.spec.input.pixel_scale) == (127.5, 128.0)
    assert network.spec.dropout == 0.4
    assert {bn.eps for bn in network.batch_norms} == {network.features.eps} == {2e-5}
    assert network.bn_statistics == "training"
    expected = original.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in network.state_dict().items())
    assert _largest(_embed(network, pixels) - _onnxruntime(model, pixels)) < 1e-5
    doubled = network.prepare(torch.device("cpu"), "float64")
    in_float64 = run_in_float64(model, pixels)["fc1"]
    assert _largest(_embed(doubled, pixels) - in_float64) < 1e-9


def test_mxnets_network_has_statistics_and_survives_conversion(original, onnx_file, tmp_path):
    network = network_of(onnx_file(_mxnet_model(original.state_dict(), slopes="plain")))
    create_scorer("grafiqs", backbone=network)
    path = tmp_path / "converted.safetensors"
    metadata = checkpoint_metadata.describe(network)
    safetensors_file.write(path, official_state_dict(network), metadata)
    again = load_checkpoint(path)
    assert again.spec == network.spec
    assert again.bn2.eps == 2e-5
    expected = network.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in again.state_dict().items())
    # Slopes without further dimensions, `spatial` 0: as old versions of MXNet wrote them.
    assert torch.equal(again.layer2[0].prelu.weight, original.layer2[0].prelu.weight)


def test_without_its_pixels_the_epsilon_does_not_tell_mxnet_from_magface(original, onnx_file):
    file = onnx_file(_mxnet_model(original.state_dict(), prepares=False))
    with pytest.raises(WeightsError, match=r"magface-iresnet18, mxnet-iresnet18, .*give the netw"):
        network_of(file)
    for name in ("magface-iresnet18", "mxnet-iresnet18"):
        assert network_of(file, name).spec.name == name
