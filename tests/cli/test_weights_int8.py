"""What `fiqa-fast weights calibrate-int8` writes and says, and what the other verbs make of it."""

import pytest
import torch

from fiqa_fast.backbones.families import sface
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.fused.activation_ranges import measure_ranges
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.weights.file import read_weights


@pytest.fixture
def crop_files(golden_dir, crop_names):
    return [golden_dir / "crops" / name for name in crop_names[:2]]


@pytest.fixture
def calibrated(fiqa_fast_command, crop_files, tmp_path):
    out = tmp_path / "sface.safetensors"
    code, stdout, err = fiqa_fast_command(
        *("weights", "calibrate-int8", "sface", *crop_files, "--aligned", "-o", out)
    )
    assert code == 0, err
    assert stdout.startswith(f"wrote {out}: sface, ranges of 13 convolutions, measured over 2 crop")
    return out


def test_ranges_of_the_packaged_network(calibrated, crops, sface32):
    expected = measure_ranges(sface32, crops[:2])
    file = read_weights(calibrated)
    assert file.metadata["fiqa_fast.activation_ranges"] == expected.origin
    assert file.metadata["fiqa_fast.source_sha256"] == sface.DEFAULT_WEIGHTS.sha256
    network = load_backbone(weights=calibrated, device="cpu")
    assert network.bn_statistics == "training"
    assert str(network.activation_ranges) == str(expected)
    for name, largest in expected.largest.items():
        assert torch.equal(network.activation_ranges.largest[name], largest)
        assert torch.equal(file.tensors[f"activation_range.{name}"], largest)
    norms = [
        create_scorer("embedding-norm", backbone=n).score(crops[3:4]) for n in (sface32, network)
    ]
    assert torch.equal(*norms)


def test_inspect_tells_of_ranges(fiqa_fast_command, calibrated):
    code, out, err = fiqa_fast_command("weights", "inspect", calibrated)
    assert code == 0, err
    assert "int8:        ranges of 13 convolutions, measured over 2 crops, digest " in out
    assert "fiqa_fast.activation_ranges = measured over 2 crops, digest " in out


def test_ranges_outlive_convert_and_calibrate_bn(
    fiqa_fast_command, calibrated, crop_files, tmp_path
):
    ranges = load_backbone(weights=calibrated, device="cpu").activation_ranges
    for verb, *arguments in (
        ("convert", calibrated, tmp_path / "converted.safetensors"),
        ("calibrate-bn", calibrated, *crop_files, "--aligned", "-o", tmp_path / "bn.safetensors"),
    ):
        code, _, err = fiqa_fast_command("weights", verb, *arguments)
        assert code == 0, err
        again = load_backbone(weights=arguments[-1], device="cpu").activation_ranges
        assert again.origin == ranges.origin
        assert again.largest.keys() == ranges.largest.keys()


@pytest.mark.parametrize(
    ("network", "code", "said"),
    [
        ("iresnet50", 1, "expected weights for iresnet50"),
        ("gone.pth", 1, "expected a readable file, got gone.pth"),
        ("none", 2, "expected a network whose convolutions can compute with integers, got none"),
    ],
)
def test_says_what_is_wrong(fiqa_fast_command, crop_files, tmp_path, network, code, said):
    out = tmp_path / "out.safetensors"
    found, _, err = fiqa_fast_command(
        *("weights", "calibrate-int8", network, *crop_files, "--aligned", "-o", out)
    )
    assert found == code
    assert said in err
    assert not out.exists()


def test_replaces_files_only_when_told_to(fiqa_fast_command, calibrated, crop_files):
    before = calibrated.read_bytes()
    run = ("weights", "calibrate-int8", "sface", crop_files[0], "--aligned", "-o", calibrated)
    code, _, err = fiqa_fast_command(*run)
    assert code == 1
    assert "--overwrite" in err
    assert calibrated.read_bytes() == before
    assert fiqa_fast_command(*run, "--overwrite")[0] == 0
    assert calibrated.read_bytes() != before
