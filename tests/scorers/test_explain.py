"""The maps of `explain` against the scores they belong to, and against plain autograd."""

import numpy as np
import pytest
import torch

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.faceqan import FaceQAN, FaceQANOptions
from fiqa_fast.scorers.grafiqs import GraFIQs, GraFIQsOptions
from fiqa_fast.scorers.registry import create_scorer, list_scorers

SIDES_PX = {"image": 112, "b1": 112, "b2": 56, "b3": 28, "b4": 14}  # SFace's


def test_methods_explain_outputs_that_they_have():
    explaining = {spec.name: spec.explains for spec in list_scorers() if spec.explains}
    assert {"grafiqs", "faceqan"} <= explaining.keys()
    for spec in list_scorers():
        assert set(spec.explains) <= set(spec.outputs)


@pytest.mark.parametrize("variant", ["official", "paper"])
def test_the_totals_of_grafiqs_maps_are_its_scores(sface32, crops, variant):
    scorer = GraFIQs(sface32, variant=variant)
    maps, scores = scorer.explain(crops[:2]), scorer.score_all(crops[:2])
    assert list(maps) == list(SIDES_PX)
    for output, heat in maps.items():
        assert heat.shape == (2, SIDES_PX[output], SIDES_PX[output])
        assert heat.dtype == torch.float32
        assert (heat >= 0).all()
        totals = heat.double().sum((1, 2))
        torch.testing.assert_close(totals, scores[output].double(), rtol=1e-6, atol=0)


def test_grafiqs_image_map_equals_plain_autograd(sface64, crops):
    """The official loss written out with hooks."""
    x = sface64.normalise(torch.from_numpy(crops[:1]).permute(0, 3, 1, 2)).requires_grad_()
    terms = []

    def hook(bn, inputs):
        mean_error = (inputs[0].mean((2, 3)) - bn.running_mean).square().mean(1)
        var_error = (inputs[0].var((2, 3), correction=0) - bn.running_var).square().mean(1)
        terms.append(mean_error + var_error)

    handles = [bn.register_forward_pre_hook(hook) for bn in sface64.batch_norms]
    try:
        sface64(x)
    finally:
        for handle in handles:
            handle.remove()
    (gradient,) = torch.autograd.grad(torch.stack(terms).sum() / len(terms), x)
    heat = GraFIQs(sface64).explain(crops[:1], outputs=["image"])["image"]
    assert heat.dtype == torch.float64
    torch.testing.assert_close(heat, gradient.abs().sum(1), rtol=1e-8, atol=1e-15)


def test_grafiqs_maps_follow_its_options(sface32, crops):
    swapped = np.ascontiguousarray(crops[:1, :, :, ::-1])
    bgr = GraFIQs(sface32, GraFIQsOptions(channel_order="BGR")).explain(crops[:1])
    for output, heat in GraFIQs(sface32).explain(swapped).items():
        torch.testing.assert_close(bgr[output], heat, rtol=0, atol=0)


def test_some_maps_are_those_of_all_maps(sface32, crops):
    scorer = GraFIQs(sface32)
    some, everything = scorer.explain(crops[:2], outputs=("b3", "b1")), scorer.explain(crops[:2])
    assert list(some) == ["b3", "b1"]
    for output, heat in some.items():
        torch.testing.assert_close(heat, everything[output], rtol=0, atol=0)


def test_faceqan_mask_without_a_step_is_the_given_noise(sface32, crops):
    """The official variant never embeds what its last step makes, so one step moves nothing."""
    image = torch.from_numpy(crops[:2]).permute(0, 3, 1, 2).float() / 255
    draws = torch.rand(2, 3, *image.shape[1:], generator=torch.Generator().manual_seed(0))
    noise = 0.6 * draws - 0.3
    copies = (image[:, None] + noise).clamp(-1, 1)
    mask = FaceQAN(sface32, FaceQANOptions(k=3, l=1)).explain(crops[:2], noise=noise)["score"]
    expected = (copies - image[:, None]).abs().mean(1).sum(1)
    assert mask.shape == (2, 112, 112)
    torch.testing.assert_close(mask, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("variant", "steps"), [("official", 1), ("paper", 2)])
def test_faceqan_mask_equals_a_plain_attack(sface64, crops, variant, steps):
    """With l=2: one step of eps in [0, 1], or two steps of eps / 2 in [-1, 1]."""
    scale, shift, step = (255, 0.0, 0.01) if variant == "official" else (127.5, 1.0, 0.005)
    image = torch.from_numpy(crops[:1]).permute(0, 3, 1, 2).double() / scale - shift
    draws = torch.rand(1, 2, *image.shape[1:], generator=torch.Generator().manual_seed(0))
    noise = 0.01 * (2 * draws.double() - 1)

    def embed(images):
        return sface64(sface64.normalise((images + shift) * scale))

    base, copies = embed(image), (image + noise[0]).clamp(-1, 1)
    for _ in range(steps):
        copies.requires_grad_()
        found = embed(copies)
        cosines = (found * base).sum(1) / found.norm(dim=1) / base.norm(dim=1)
        (gradient,) = torch.autograd.grad((1 - cosines).mean(), copies)
        copies = (copies.detach() + step * gradient.sign()).clamp(-1, 1)

    options = FaceQANOptions(k=2, l=2, eps=0.01)
    mask = FaceQAN(sface64, options, variant=variant).explain(crops[:1], noise=noise)["score"]
    difference = (mask - (copies - image).abs().mean(0).sum(0)).abs()
    # A gradient that is all but zero has the sign of its rounding error.
    assert (difference < 1e-9).double().mean() > 0.999


def test_a_map_does_not_depend_on_the_batch_or_the_callers_modes(sface32, crops):
    for scorer in (GraFIQs(sface32), FaceQAN(sface32, FaceQANOptions(k=2, l=2))):
        whole = scorer.explain(crops[:2])
        with torch.inference_mode():
            alone = scorer.explain(torch.from_numpy(crops[1:2]).permute(0, 3, 1, 2))
        for output, heat in alone.items():
            torch.testing.assert_close(heat, whole[output][1:], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["ser-fiq", "embedding-norm"])
@pytest.mark.parametrize("outputs", [None, ["score"]])
def test_a_method_without_maps(sface32, crops, name, outputs):
    expected = f"expected a method that can explain its scores, got {name};"
    with pytest.raises(InvalidArgumentError, match=expected):
        create_scorer(name, backbone=sface32).explain(crops[:1], outputs=outputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outputs": ["b2", "mse_bns"]}, "among image, b1, b2, b3, b4, got b2, mse_bns"),
        ({"crops": np.zeros((0, 112, 112, 3), np.uint8)}, "one crop or more to explain, got none"),
        ({"crops": np.zeros((112, 112, 3), np.uint8)}, r"numpy \[B, 112, 112, 3\]"),
        ({"noise": torch.zeros(1)}, "expected no noise"),
    ],
)
def test_wrong_arguments(sface32, crops, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        GraFIQs(sface32).explain(**{"crops": crops[:1], **arguments})
