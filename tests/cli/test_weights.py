import re
from datetime import date

import pytest
import torch

from fiqa_fast.backbones.batch_norm_statistics import estimate_statistics
from fiqa_fast.backbones.checkpoints import load_checkpoint
from fiqa_fast.backbones.families import iresnet, sface
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.version import __version__
from fiqa_fast.weights.file import read_weights
from fiqa_fast.weights.packaged import locate


@pytest.fixture(scope="module")
def sface_file():
    return locate(sface.DEFAULT_WEIGHTS)


@pytest.fixture
def iresnet18_file(tmp_path):
    """An iresnet18 without trained weights; takes hardly any memory or space."""
    with torch.device("meta"):
        shapes = iresnet.skeleton("iresnet18").state_dict()
    tensors = {n: torch.zeros((), dtype=t.dtype).expand(t.shape) for n, t in shapes.items()}
    path = tmp_path / "iresnet18.pth"
    torch.save(tensors | {"qs.weight": torch.ones(1, 512), "qs.bias": torch.ones(1)}, path)
    return path


@pytest.fixture
def crop_files(golden_dir, crop_names):
    return [golden_dir / "crops" / name for name in crop_names[:3]]


def _facts(output: str) -> dict[str, list[str]]:
    facts: dict[str, list[str]] = {}
    for line in output.splitlines():
        fact, text = re.fullmatch(r"(.+?):\s+(.*)", line).groups()
        facts.setdefault(fact, []).append(text)
    return facts


def test_inspect_a_network(fiqa_fast_command, sface_file):
    code, out, err = fiqa_fast_command("weights", "inspect", sface_file)
    assert code == 0, err
    facts = _facts(out)
    assert facts["file"] == [str(sface_file)]
    assert facts["format"] == ["onnx"]
    assert facts["sha256"] == [sface.DEFAULT_WEIGHTS.sha256]
    assert facts["network"] == ["sface, SFace (OpenCV Zoo 2021dec, int8 block-quantised)"]
    assert facts["input"] == ["112x112 RGB, (pixel - 127.5) / 128"]
    assert facts["embedding"] == ["128 numbers"]
    assert facts["dropout"] == ["0.4"]
    assert facts["tap b4"] == ["conv_12: the last output of 14x14, 512 channels"]
    assert facts["BatchNorm2d"] == ["28 layers, statistics: training"]
    assert facts["head"] == ["none"]
    runs = facts["can run"][0].split(", ")
    assert {"grafiqs", "faceqan", "ser-fiq", "embedding-norm"} <= set(runs)
    assert any(t.startswith("pcnet: expected a network with the") for t in facts["cannot run"])


def test_inspect_a_network_with_a_head(fiqa_fast_command, iresnet18_file):
    code, out, err = fiqa_fast_command("weights", "inspect", iresnet18_file)
    assert code == 0, err
    facts = _facts(out)
    assert facts["head"] == ["cr-fiqa"]
    assert "cr-fiqa" in facts["can run"][0]
    count = sum(tensor.numel() for tensor in torch.load(iresnet18_file).values())
    assert facts["tensors"] == [f"189, with {count:,} numbers of float32, int64"]
    code, out, _ = fiqa_fast_command(
        *("weights", "inspect", iresnet18_file, "--network", "magface-iresnet18")
    )
    assert code == 0
    assert _facts(out)["input"] == ["112x112 BGR, pixel / 255"]


def test_inspect_something_else(fiqa_fast_command, tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"encoder.weight": torch.ones(3, 4, dtype=torch.float16)}, path)
    code, out, _ = fiqa_fast_command("weights", "inspect", path)
    assert code == 1
    facts = _facts(out)
    assert facts["network"][0].startswith("cannot be loaded: weights: expected the weights of a")
    assert "the nearest known layout, " in facts["network"][0]
    assert facts["tensor"] == ["encoder.weight [3, 4] float16"]
    assert "can run" not in facts


def test_inspect_what_is_no_weights_file(fiqa_fast_command, tmp_path):
    path = tmp_path / "page.pth"
    path.write_text("<!DOCTYPE html>")
    code, out, err = fiqa_fast_command("weights", "inspect", path)
    assert code == 1
    assert out == ""
    assert "which is a web page" in err


def test_convert_keeps_scores_to_the_bit(fiqa_fast_command, sface_file, tmp_path, crops):
    out = tmp_path / "sface.safetensors"
    code, stdout, err = fiqa_fast_command(
        *("weights", "convert", sface_file, out, "--source", "OpenCV Zoo")
    )
    assert code == 0, err
    assert stdout == f"wrote {out}: sface\n"
    file = read_weights(out)
    assert dict(file.metadata) == {
        "fiqa_fast.network": "sface",
        "fiqa_fast.input": "112x112 RGB, (pixel - 127.5) / 128",
        "fiqa_fast.head": "none",
        "fiqa_fast.bn_statistics": "training",
        "fiqa_fast.licence": "Apache-2.0",
        "fiqa_fast.source": "OpenCV Zoo",
        "fiqa_fast.source_file": sface_file.name,
        "fiqa_fast.source_format": "onnx",
        "fiqa_fast.source_sha256": sface.DEFAULT_WEIGHTS.sha256,
        "fiqa_fast.version": __version__,
        "fiqa_fast.date": file.metadata["fiqa_fast.date"],
    }
    assert date.fromisoformat(file.metadata["fiqa_fast.date"]) <= date.today()
    before = load_backbone("sface", device="cpu")
    after = load_backbone(weights=out, device="cpu")
    assert after.weights_sha256 == file.sha256
    for method, options in (("grafiqs", {}), ("ser-fiq", {"T": 3}), ("embedding-norm", {})):
        expected = create_scorer(method, backbone=before, **options).score_all(crops[:2])
        found = create_scorer(method, backbone=after, **options).score_all(crops[:2])
        assert all(torch.equal(found[output], expected[output]) for output in expected)


def test_convert_again_keeps_what_is_known(fiqa_fast_command, iresnet18_file, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    run = ("weights", "convert", iresnet18_file, first, "--network", "magface-iresnet18")
    code, _, err = fiqa_fast_command(*run, "--licence", "mine", "--source", "here")
    assert code == 0, err
    assert fiqa_fast_command("weights", "convert", first, second)[0] == 0
    metadata = read_weights(second).metadata
    assert metadata["fiqa_fast.licence"] == "mine"
    assert metadata["fiqa_fast.source"] == "here"
    assert metadata["fiqa_fast.source_file"] == "first.safetensors"
    assert metadata["fiqa_fast.source_sha256"] == read_weights(first).sha256
    again = load_checkpoint(second)
    assert again.spec.name == "magface-iresnet18"
    assert again.head.kind == "cr-fiqa"


def test_convert_replaces_files_only_when_told_to(fiqa_fast_command, iresnet18_file, tmp_path):
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"mine")
    code, _, err = fiqa_fast_command("weights", "convert", iresnet18_file, out)
    assert code == 1
    assert "--overwrite" in err
    assert out.read_bytes() == b"mine"
    assert fiqa_fast_command("weights", "convert", iresnet18_file, out, "--overwrite")[0] == 0
    assert load_checkpoint(out).spec.name == "iresnet18"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("out.pth",), 2, "expected the name of a .safetensors file"),
        (("out.safetensors", "--network", "arcface"), 2, "to be one of sface, iresnet18"),
        (("out.safetensors", "--network", "iresnet50"), 1, "which holds iresnet18"),
        (("none/out.safetensors",), 1, "a place where a file can be written"),
    ],
)
def test_convert_says_what_is_wrong(
    fiqa_fast_command, iresnet18_file, tmp_path, monkeypatch, arguments, code, said
):
    monkeypatch.chdir(tmp_path)
    found, _, err = fiqa_fast_command("weights", "convert", iresnet18_file, *arguments)
    assert found == code
    assert said in err
    assert [p.name for p in tmp_path.iterdir()] == [iresnet18_file.name]


def test_calibrate_bn_over_crops(fiqa_fast_command, crop_files, tmp_path, crops, sface32):
    out = tmp_path / "sface.safetensors"
    code, stdout, err = fiqa_fast_command(
        *("weights", "calibrate-bn", "sface", *crop_files, "--aligned", "-o", out)
    )
    assert code == 0, err
    expected = estimate_statistics(sface32, crops[:3])
    assert stdout == f"wrote {out}: sface, BatchNorm statistics {expected}\n"
    network = load_backbone(weights=out, device="cpu")
    assert network.bn_statistics == str(expected)
    assert str(expected).startswith("re-estimated over 3 crops, digest ")
    for bn, mean in zip(network.batch_norms, expected.means, strict=True):
        torch.testing.assert_close(bn.running_mean.double(), mean, rtol=1e-5, atol=1e-5)
    norms = [
        create_scorer("embedding-norm", backbone=n).score(crops[3:5]) for n in (sface32, network)
    ]
    torch.testing.assert_close(*norms, rtol=1e-5, atol=0)
    grafiqs = create_scorer("grafiqs", backbone=network).score(crops[:2])
    assert not torch.equal(grafiqs, create_scorer("grafiqs", backbone=sface32).score(crops[:2]))
    metadata = read_weights(out).metadata
    assert metadata["fiqa_fast.source_sha256"] == sface.DEFAULT_WEIGHTS.sha256
    assert metadata["fiqa_fast.bn_statistics"] == str(expected)


def test_calibrate_bn_over_photographs_of_a_file(
    fiqa_fast_command, faces_dir, tmp_path, sface_file
):
    out = tmp_path / "sface.safetensors"
    photos = [faces_dir / f"impostor_{i}.jpg" for i in (1, 2)]
    gone = tmp_path / "gone.jpg"
    code, stdout, err = fiqa_fast_command(
        *("weights", "calibrate-bn", sface_file, *photos, gone, "--network", "sface", "-o", out)
    )
    assert code == 0, err
    assert "re-estimated over 2 crops" in stdout
    assert f"left out {gone}: " in err
    metadata = read_weights(out).metadata
    assert metadata["fiqa_fast.source_file"] == sface_file.name
    assert metadata["fiqa_fast.source_format"] == "onnx"


@pytest.mark.parametrize(
    ("network", "count", "code", "said"),
    [
        ("sface", 1, 2, "expected at least 2 crops, got 1"),
        ("iresnet50", 2, 1, "expected weights for iresnet50"),
        ("gone.pth", 2, 1, "expected a readable file, got gone.pth"),
    ],
)
def test_calibrate_bn_says_what_is_wrong(
    fiqa_fast_command, crop_files, tmp_path, network, count, code, said
):
    out = tmp_path / "out.safetensors"
    found, _, err = fiqa_fast_command(
        *("weights", "calibrate-bn", network, *crop_files[:count], "--aligned", "-o", out)
    )
    assert found == code
    assert said in err
    assert not out.exists()
