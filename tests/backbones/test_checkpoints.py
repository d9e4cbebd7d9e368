from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fiqa_fast.backbones import checkpoint_metadata
from fiqa_fast.backbones.checkpoints import (
    FAMILIES,
    load_checkpoint,
    network_of,
    official_state_dict,
)
from fiqa_fast.backbones.families import iresnet, sface
from fiqa_fast.backbones.layers.heads import CrFiqaHead
from fiqa_fast.errors import WeightsError
from fiqa_fast.weights import safetensors_file
from fiqa_fast.weights.file import WeightsFile, read_weights

NAMES = [spec.name for family in FAMILIES for spec in family.SPECS]
COUNTER = "num_batches_tracked"


def _shapes(name: str) -> dict[str, Tensor]:
    """Tensors of a network by name, without data."""
    with torch.device("meta"):
        family = next(f for f in FAMILIES if name in [s.name for s in f.SPECS])
        return family.skeleton(name).state_dict()


def _zeros(shapes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n: torch.zeros(t.shape, dtype=t.dtype, device="cpu") for n, t in shapes.items()}


def _filled(shapes: Mapping[str, Tensor], dtype=torch.float32) -> dict[str, Tensor]:
    """Tensors that take the memory of one number each, and as little in a torch file."""
    value, count = torch.full((1,), 0.1, dtype=dtype), torch.tensor(0)
    return {n: count if n.endswith(COUNTER) else value.expand(t.shape) for n, t in shapes.items()}


def _head(**shapes) -> dict[str, Tensor]:
    """Tensors of a head: dots in names are written as double underscores."""
    return {n.replace("__", "."): torch.full((1,), 0.1).expand(s) for n, s in shapes.items()}


def _file(tensors: dict[str, Tensor], **metadata: str) -> WeightsFile:
    return WeightsFile(Path("some.pth"), "torch", "ab" * 32, tensors, metadata)


@pytest.fixture(scope="module")
def iresnet18() -> dict[str, Tensor]:
    return _filled(_shapes("iresnet18"))


@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_recognised_by_its_own_names(name):
    tensors = _zeros(_shapes(name))
    if (
        name == "sdd-ir50"
    ):  # the rest of an IR network, which only its head tells from a part of one
        tensors |= _head(quality__1__weight=(25088,), quality__3__weight=(1, 25088))
        tensors |= _head(quality__3__bias=(1,))
    # What a converted file says in its metadata does the same as the user's word.
    network = network_of(_file(tensors, **{checkpoint_metadata.NETWORK: name}))
    assert network.spec.name == name
    assert official_state_dict(network).keys() == tensors.keys()


@pytest.mark.parametrize(
    ("name", "batch_norms"),
    [
        ("iresnet18", 30),
        ("iresnet34", 54),
        ("iresnet50", 78),
        ("iresnet100", 153),
        ("iresnet200", 300),
    ],
)
def test_depth_comes_from_the_keys(name, batch_norms):
    network = network_of(_file(_zeros(_shapes(name))))
    assert network.spec.name == name
    assert len(network.batch_norms) == batch_norms


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "features.module.",
        "module.features.",
        "module.features.module.",
        "base_model.",
        "module.base_model.",
        "base.",
        "backbone.module.",
        "model.backbone.",
        "_orig_mod.",
        "module._orig_mod.",
        "student.encoder.",
    ],
)
def test_prefixes(iresnet18, prefix):
    network = network_of(_file({prefix + name: tensor for name, tensor in iresnet18.items()}))
    magface = "features." in prefix
    assert network.spec.name == ("magface-iresnet18" if magface else "iresnet18")
    assert network.bn1.eps == (2e-5 if magface else 1e-5)
    assert network.state_dict().keys() == iresnet18.keys()


@pytest.mark.parametrize("prefix", ["", "module.", "features.module."])
def test_training_checkpoints_with_prefixes(tmp_path, iresnet18, prefix):
    path = tmp_path / "checkpoint.pth.tar"
    tensors = {prefix + name: tensor for name, tensor in iresnet18.items()}
    torch.save({"epoch": 1, "state_dict": tensors, "optimizer": {"lr": 0.1}}, path)
    network = load_checkpoint(path)
    assert network.state_dict().keys() == iresnet18.keys()
    assert network.spec.name.endswith("iresnet18")


def test_magface_by_name(iresnet18):
    network = network_of(_file(iresnet18), "magface-iresnet18")
    assert network.spec.input.channel_order == "BGR"
    assert {bn.eps for bn in network.batch_norms} == {2e-5}
    with pytest.raises(
        WeightsError, match=r"expected weights of magface-iresnet50.*holds iresnet18"
    ):
        network_of(_file(iresnet18), "magface-iresnet50")


def test_a_classifier_beside_the_network_is_left_out(iresnet18):
    tensors = {f"features.module.{n}": t for n, t in iresnet18.items()}
    tensors["module.fc.weight"] = torch.ones(1).expand(512, 85742)
    network = network_of(_file(tensors))
    assert network.fc.weight.shape == (512, 25088)


def test_embedding_size_from_the_shapes(iresnet18):
    tensors = iresnet18 | {"fc.weight": torch.zeros(256, 25088), "fc.bias": torch.zeros(256)}
    for part in ("weight", "bias", "running_mean", "running_var"):
        tensors[f"features.{part}"] = torch.zeros(256)
    network = network_of(_file(tensors))
    assert network.spec.embedding_size == 256
    assert network.fc.out_features == 256


def test_squeeze_and_excitation_from_the_keys():
    spec = next(s for s in iresnet.SPECS if s.name == "iresnet50")
    with torch.device("meta"):
        own = iresnet.IResNet(spec, iresnet.BLOCKS["iresnet50"], eps=1e-5, se_reduction=16)
    tensors = _zeros(own.state_dict())
    network = network_of(_file(tensors))
    assert network.layer4[0].se.fc1.weight.shape == (32, 512, 1, 1)
    assert network.state_dict().keys() == tensors.keys()


@pytest.mark.parametrize(
    ("prefix", "head", "kind"),
    [
        ("", _head(qs__weight=(1, 512), qs__bias=(1,)), "cr-fiqa"),
        ("module.", _head(module__qs__weight=(1, 512), module__qs__bias=(1,)), "cr-fiqa"),
        ("base.", _head(linear__weight=(1, 512), linear__bias=(1,)), "diffiqa-r"),
        ("base_model.", _head(regressor__weight=(1, 512), regressor__bias=(1,)), "label-regressor"),
        (
            "base_model.",
            _head(
                mlp__l1__weight=(1024, 512),
                mlp__l1__bias=(1024,),
                mlp__l2__weight=(1, 1024),
                mlp__l2__bias=(1,),
            ),
            "ediffiqa",
        ),
    ],
)
def test_heads(iresnet18, prefix, head, kind):
    network = network_of(_file({prefix + n: t for n, t in iresnet18.items()} | head))
    assert network.head.kind == kind
    assert network.spec.name == "iresnet18"
    names = {n.removeprefix("module.") for n in head}
    assert official_state_dict(network).keys() == iresnet18.keys() | names


def test_a_head_of_another_size_is_refused(iresnet18):
    head = _head(qs__weight=(1, 512), qs__bias=(2,))
    with pytest.raises(WeightsError, match=r"1 mis-shaped: qs\.bias \[2\] instead of \[1\]"):
        network_of(_file(iresnet18 | head))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(iresnet18, dtype):
    network = network_of(_file(_filled(iresnet18, dtype)))
    assert network.conv1.weight.dtype == torch.float32
    expected = torch.tensor(0.1, dtype=dtype).to(torch.float32)
    assert torch.equal(network.fc.weight[0, 0], expected)
    assert network.dtype == torch.float32


def test_old_files_lack_the_counts_of_training_steps(iresnet18):
    old = {n: t for n, t in iresnet18.items() if not n.endswith(COUNTER)}
    assert network_of(_file(old)).state_dict().keys() == iresnet18.keys()


def test_networks_come_frozen_in_inference_mode(tmp_path, iresnet18):
    path = tmp_path / "a.pth"
    torch.save(iresnet18, path)
    with torch.inference_mode():
        network = load_checkpoint(str(path))
    assert not network.training
    assert not any(p.requires_grad or p.is_inference() for p in network.parameters())
    assert network.weights_sha256 == read_weights(path).sha256


def test_a_converted_file_gives_the_same_network(tmp_path, recipe_backbone):
    with torch.device("meta"):
        head = CrFiqaHead(512)
    network = recipe_backbone("iresnet18", head=head)
    path = tmp_path / "converted.safetensors"
    metadata = {**checkpoint_metadata.describe(network), checkpoint_metadata.BN_STATISTICS: "mine"}
    safetensors_file.write(path, official_state_dict(network), metadata)
    again = load_checkpoint(path)
    assert again.head.kind == "cr-fiqa"
    assert again.bn_statistics == "mine"
    old, new = network.state_dict(), again.state_dict()
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)


def _without(tensors, start):
    return {n: t for n, t in tensors.items() if not n.startswith(start)}


def test_a_network_that_is_cut_off_names_the_nearest_layout(iresnet18):
    with pytest.raises(WeightsError) as error_info:
        network_of(_file(_without(iresnet18, "layer4.1.")))
    message = str(error_info.value)
    assert "some.pth (torch, 169 tensors)" in message
    assert "the nearest known layout, iresnet18, in 15 missing: layer4.1.bn1.weight," in message
    assert "and 7 more" in message
    assert "unexpected" not in message
    assert "`fiqa-fast models`" in message


def test_missing_unexpected_and_misshaped_tensors_are_listed(iresnet18):
    tensors = _without(iresnet18, "bn2.bias")
    tensors["extra.weight"] = torch.ones(3)
    tensors["layer1.0.conv1.weight"] = torch.ones(1).expand(64, 64, 5, 5)
    expected = (
        r"tensors of iresnet18, got some\.pth with 1 missing: bn2\.bias; 1 unexpected:"
        r" extra\.weight; 1 mis-shaped: layer1\.0\.conv1\.weight \[64, 64, 5, 5\] instead of"
        r" \[64, 64, 3, 3\]; bring the whole"
    )
    with pytest.raises(WeightsError, match=expected):
        network_of(_file(tensors))


def test_parts_of_different_embedding_sizes_do_not_fit(iresnet18):
    tensors = iresnet18 | {"features.weight": torch.ones(256)}
    with pytest.raises(WeightsError, match=r"features\.weight \[256\] instead of \[512\]"):
        network_of(_file(tensors))


def test_a_file_of_something_else(iresnet18):
    tensors = {"encoder.layer.0.weight": torch.ones(3, 3), "head.bias": torch.ones(3)}
    with pytest.raises(WeightsError, match=r"known network, got some\.pth \(torch, 2 tensors\)"):
        network_of(_file(tensors))
    with pytest.raises(
        WeightsError, match=r"expected iresnet50, got.*differs from that network in"
    ):
        network_of(_file(tensors), "iresnet50")


def test_another_network_than_the_named_one(iresnet18):
    with pytest.raises(WeightsError, match=r"expected weights of iresnet50, got.*holds iresnet18"):
        network_of(_file(iresnet18), "iresnet50")
    with pytest.raises(WeightsError, match=r"expected weights of sface, got.*holds iresnet18"):
        network_of(_file(iresnet18), "sface")


def test_a_name_against_what_the_file_says_of_itself(iresnet18):
    stated = _file(iresnet18, **{checkpoint_metadata.NETWORK: "magface-iresnet18"})
    assert network_of(stated).spec.name == "magface-iresnet18"
    with pytest.raises(WeightsError, match="expected weights of magface-iresnet18"):
        network_of(stated, "iresnet18")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("conv1.weight", float("nan"), "numbers that are not finite in conv1.weight"),
        ("fc.bias", float("inf"), "numbers that are not finite in fc.bias"),
        ("bn1.running_var", -1.0, "negative variances in bn1.running_var"),
    ],
)
def test_numbers_that_no_network_has(iresnet18, name, value, said):
    tensors = iresnet18 | {name: torch.full((1,), value).expand(iresnet18[name].shape)}
    with pytest.raises(WeightsError, match=said):
        network_of(_file(tensors))


def test_quantised_weights_are_not_taken_for_numbers(iresnet18):
    tensors = iresnet18 | {"conv1.weight": torch.ones(64, 3, 3, 3, dtype=torch.int8)}
    with pytest.raises(WeightsError, match=r"conv1\.weight \[64, 3, 3, 3\] of whole numbers"):
        network_of(_file(tensors))


@pytest.mark.parametrize("wrong", [torch.tensor(1.0), torch.ones(0, 0)])
def test_known_names_with_anything_behind_them(iresnet18, wrong):
    with pytest.raises(WeightsError, match=r"some\.pth"):
        network_of(_file(iresnet18 | {"fc.weight": wrong}))


def test_a_default_file_with_a_tensor_missing():
    tensors = dict(read_weights(sface.DEFAULT_WEIGHTS).tensors)
    kernels = [n for n in tensors if n.startswith("conv_3_conv2d_weight")]
    for name in kernels:
        del tensors[name]
    assert kernels
    with pytest.raises(WeightsError, match="expected the tensors of sface or its relatives"):
        network_of(_file(tensors))


def test_a_classifier_over_identities_is_left_out(iresnet18):
    identities = torch.zeros(1000, 512)
    for name in ("parallel_fc.weight", "arcface.kernel"):
        tensors = {f"module.{n}": t for n, t in iresnet18.items()} | {name: identities}
        assert network_of(_file(tensors)).head is None
    unknown = {f"module.{n}": t for n, t in iresnet18.items()} | {"quality.bias": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"1 unexpected: quality\.bias"):
        network_of(_file(unknown))
