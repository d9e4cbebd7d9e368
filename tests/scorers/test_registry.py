import numpy as np
import pytest
import torch

from fiqa_fast.errors import InvalidArgumentError, UnavailableError, WeightsError
from fiqa_fast.scorers.registry import create_scorer, list_scorers


def test_every_scorer_has_complete_facts():
    names = [spec.name for spec in list_scorers()]
    assert len(set(names)) == len(names)
    for spec in list_scorers():
        assert spec.default_output in spec.outputs
        assert spec.paper
        assert "float32" in spec.precisions
        assert bool(spec.weights) == bool(spec.licence)


@pytest.mark.parametrize(
    ("name", "precision", "relative"),
    # GraFIQs' loss has small differences of statistics, and bf16 keeps 8 bits.
    [
        ("grafiqs", "bf16", 0.25),
        ("embedding-norm", "bf16", 0.02),
        ("embedding-norm", "fp16", 0.002),
    ],
)
def test_low_precision_stays_within_its_error(sface32, crops, name, precision, relative):
    low = create_scorer(name, precision=precision, device="cpu").score(crops[:1])
    reference = create_scorer(name, backbone=sface32).score(crops[:1])
    assert low.dtype == torch.float32
    assert 0 < (low / reference - 1).abs().max() < relative


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "grafix"}, r"one of grafiqs, faceqan, .*, got 'grafix'"),
        ({"name": "grafiqs", "variant": "mine"}, "official or paper, got 'mine'"),
        (
            {"name": "grafiqs", "k": 3},
            r"option of grafiqs \(one of output, channel_order\), got 'k'",
        ),
        ({"name": "grafiqs", "output": "b5"}, "one of mse_bns, image, b1, b2, b3, b4, got 'b5'"),
        ({"name": "faceqan", "seed": -1}, "whole number 0 <= seed < 2\\*\\*63, got -1"),
        ({"name": "faceqan", "seed": 1.5}, "whole number 0 <= seed < .*, got 1.5"),
        ({"name": "faceqan", "eps": "0.1"}, "eps of faceqan to be float, got '0.1'"),
        ({"name": "faceqan", "k": True}, "k of faceqan to be int, got True"),
        ({"name": "ser-fiq", "scaling": float("inf")}, "to be float or None, got inf"),
        ({"name": "froq", "layers": ["b1", "b2"]}, r"layers of froq to be str, got \['b1', 'b2'\]"),
        ({"name": []}, "names of one method or more, got none"),
        ({"name": "grafiqs", "precision": "float32"}, "left out with a loaded backbone"),
    ],
)
def test_wrong_arguments_say_what_is_valid(sface32, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        create_scorer(backbone=sface32, **arguments)


def test_a_learned_method_says_which_weights_to_bring():
    with pytest.raises(WeightsError, match=r"weights of cr-fiqa.*32572backbone\.pth.*CC BY-NC"):
        create_scorer("cr-fiqa")


def test_faceqan_refuses_low_precision():
    with pytest.raises(InvalidArgumentError, match="float32, float64, got 'bf16'"):
        create_scorer("faceqan", precision="bf16")


def test_unavailable_engine_and_device(sface32):
    with pytest.raises(UnavailableError, match="auto, torch, got 'tensorrt'"):
        create_scorer("grafiqs", backbone=sface32, engine="tensorrt")
    with pytest.raises(UnavailableError, match="CUDA devices"):
        create_scorer("grafiqs", device="cuda:99")


@pytest.mark.parametrize(
    ("crops", "message"),
    [
        (np.zeros((112, 112, 3), np.uint8), r"numpy \[B, 112, 112, 3\], got \[112, 112, 3\]"),
        (np.zeros((1, 3, 112, 112), np.uint8), r"numpy \[B, 112, 112, 3\]"),
        (torch.zeros(1, 112, 112, 3, dtype=torch.uint8), r"torch \[B, 3, 112, 112\]"),
        (np.zeros((1, 112, 112, 3), np.float32), "dtype uint8"),
        (torch.zeros(1, 3, 112, 112), "dtype uint8"),
        ([[0]], "got list"),
    ],
)
def test_wrong_crops(sface32, crops, message):
    with pytest.raises(InvalidArgumentError, match=message):
        create_scorer("embedding-norm", backbone=sface32).score(crops)


def test_noise_for_a_method_without_randomness(sface32, crops):
    with pytest.raises(InvalidArgumentError, match="expected no noise"):
        create_scorer("grafiqs", backbone=sface32).score(crops[:1], noise=torch.zeros(1))
