"""DifFIQA on SFace with a tiny UNet, against a float64 twin on another code path."""

import hashlib
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fiqa_fast.diffusion.unet import UNet, UNetSize
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.scorers.diffiqa import DifFIQA, DifFIQAOptions
from fiqa_fast.scorers.registry import load_backbone

BETAS = torch.linspace(1e-3, 2e-2, 20)


@pytest.fixture(scope="module")
def unet_state(recipe_state_dict):
    """A UNet of three levels; most guesses lie within -1..1, so that clamping does not hide them.

    At its lowest level the image is small, since attention costs the square of the pixels there.
    """
    with torch.device("meta"):
        unet = UNet(UNetSize(8, (8, 8, 16)))
    state = recipe_state_dict({name: t.shape for name, t in unet.state_dict().items()})
    state["final_conv.weight"] *= 0.03
    return state


@pytest.fixture(scope="module")
def unet_path(unet_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("diffiqa") / "unet.pt"
    named = {f"model.{name}": tensor for name, tensor in unet_state.items()}
    torch.save({"betas": BETAS, **named}, path)
    return str(path)


def _batch(crops):
    return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()


# ---- The twin: functions of the raw weights, attention head by head, and the step back as the
# product of two normal distributions.


def _conv(x, w, name, **options):
    return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), **options)


def _block(x, w, name, scale=0.0, shift=0.0):
    weight = w[f"{name}.proj.weight"].flatten(1)
    mean = weight.mean(1, keepdim=True)
    variance = weight.pow(2).mean(1, keepdim=True) - mean**2
    weight = ((weight - mean) / (variance + 1e-5).sqrt()).view_as(w[f"{name}.proj.weight"])
    x = F.conv2d(x, weight, w[f"{name}.proj.bias"], padding=1)
    x = F.group_norm(x, 8, w[f"{name}.norm.weight"], w[f"{name}.norm.bias"])
    x = x * (1 + scale) + shift
    return x * x.sigmoid()


def _resnet(x, w, name, time):
    both = F.linear(time * time.sigmoid(), w[f"{name}.mlp.1.weight"], w[f"{name}.mlp.1.bias"])
    half = len(both) // 2
    scale, shift = (both[part].reshape(1, -1, 1, 1) for part in (slice(half), slice(half, None)))
    hidden = _block(_block(x, w, f"{name}.block1", scale, shift), w, f"{name}.block2")
    skip = _conv(x, w, f"{name}.res_conv") if f"{name}.res_conv.weight" in w else x
    return hidden + skip


def _layer_norm(x, gain):
    normed = F.layer_norm(x.movedim(1, -1), x.shape[1:2], gain.flatten(), None, 1e-5)
    return normed.movedim(-1, 1)


def _attention(x, w, name, *, linear):
    n, _, height, width = x.shape
    qkv = _conv(_layer_norm(x, w[f"{name}.fn.norm.g"]), w, f"{name}.fn.fn.to_qkv").flatten(2)
    heads = []
    for head in range(4):
        q, k, v = (qkv[:, 128 * i + 32 * head : 128 * i + 32 * head + 32] for i in range(3))
        if linear:
            q, k = q.softmax(1) / math.sqrt(32), k.softmax(2)
            context = torch.einsum("ndp,nep->nde", k, v) / (height * width)
            heads.append(torch.einsum("nde,ndp->nep", context, q))
        else:
            weights = torch.einsum("ndi,ndj->nij", q / math.sqrt(32), k).softmax(2)
            heads.append(torch.einsum("nij,ndj->ndi", weights, v))
    out = torch.cat(heads, 1).reshape(n, 128, height, width)
    if linear:
        out = _layer_norm(_conv(out, w, f"{name}.fn.fn.to_out.0"), w[f"{name}.fn.fn.to_out.1.g"])
    else:
        out = _conv(out, w, f"{name}.fn.fn.to_out")
    return x + out


def _twin_unet(x, w, level):
    angles = [level / 10_000 ** (i / 3) for i in range(4)]
    waves = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    time = F.linear(
        torch.tensor(waves, dtype=torch.float64), w["time_mlp.1.weight"], w["time_mlp.1.bias"]
    )
    time = time * 0.5 * (1 + torch.erf(time / math.sqrt(2)))
    time = F.linear(time, w["time_mlp.3.weight"], w["time_mlp.3.bias"])

    first = x = _conv(x, w, "init_conv", padding=3)
    skipped = []
    for i in range(3):
        x = _resnet(x, w, f"downs.{i}.0", time)
        skipped.append(x)
        x = _attention(_resnet(x, w, f"downs.{i}.1", time), w, f"downs.{i}.2", linear=True)
        skipped.append(x)
        if i < 2:  # the four pixels of a square become four channels
            corners = [x[:, :, a::2, b::2] for a in (0, 1) for b in (0, 1)]
            x = _conv(torch.stack(corners, 2).flatten(1, 2), w, f"downs.{i}.3.1")
        else:
            x = _conv(x, w, "downs.2.3", padding=1)
    x = _resnet(x, w, "mid_block1", time)
    x = _resnet(_attention(x, w, "mid_attn", linear=False), w, "mid_block2", time)
    for i in range(3):
        x = _resnet(torch.cat([x, skipped.pop()], 1), w, f"ups.{i}.0", time)
        x = _resnet(torch.cat([x, skipped.pop()], 1), w, f"ups.{i}.1", time)
        x = _attention(x, w, f"ups.{i}.2", linear=True)
        if i < 2:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = _conv(x, w, f"ups.{i}.3.1", padding=1)
        else:
            x = _conv(x, w, "ups.2.3", padding=1)
    return _conv(_resnet(torch.cat([x, first], 1), w, "final_res_block", time), w, "final_conv")


def _twin_perturb(weights, image, draws, levels, noise_level):
    """One image [3, H, W] -> the noisy one and the restored one."""
    w = {name: tensor.double() for name, tensor in weights.items()}
    betas = BETAS.double().numpy()
    kept = np.concatenate([[1.0], np.cumprod(1 - betas)])  # kept[k + 1] of level k
    part = kept[noise_level + 1]
    noisy = now = image * math.sqrt(part) + draws[0] * math.sqrt(1 - part)
    for used, level in enumerate(levels, start=1):
        guess = _twin_unet(now[None], w, level)[0]
        assert (guess.abs() < 1).double().mean() > 0.9
        guess = guess.clamp(-1, 1)
        if level == 0:
            now = guess
            continue
        alpha, below = 1 - betas[level], kept[level]
        variance = 1 / (1 / (1 - below) + alpha / betas[level])
        prior, seen = math.sqrt(below) / (1 - below), math.sqrt(alpha) / betas[level]
        now = variance * (prior * guess + seen * now) + math.sqrt(variance) * draws[used]
    return noisy, now


@pytest.mark.parametrize(
    ("variant", "levels", "noise_level"),
    [("official", [3, 2, 1, 0, 0], 4), ("paper", [3, 2, 1, 0], 3)],
)
def test_noise_and_restoration_equal_the_twin(
    sface64, unet_path, unet_state, crops, variant, levels, noise_level
):
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 4, 3, 16, 16, dtype=torch.float64, generator=generator)
    images = _batch(crops[:2])[:, :, 40:56, 40:56].double() / 127.5 - 1
    scorer = DifFIQA(sface64, DifFIQAOptions(unet=unet_path, t=4), variant=variant)
    with torch.no_grad():
        noisy, restored = scorer.perturb(images, noise)
    assert noisy.dtype == restored.dtype == torch.float64
    for i in range(2):
        twins = _twin_perturb(unet_state, images[i], noise[i], levels, noise_level)
        np.testing.assert_allclose(noisy[i], twins[0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(restored[i], twins[1], rtol=0, atol=1e-12)


def test_cosines_and_score_equal_the_twin(sface64, unet_path, unet_state, crops):
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(2, 2, 1, 3, 112, 112, dtype=torch.float64, generator=generator)
    image = torch.from_numpy(crops[0]).permute(2, 0, 1).double() / 127.5 - 1

    def embed(x):
        with torch.no_grad():
            e = sface64(sface64.normalise((x[None] + 1) * 127.5))[0].numpy()
        return e / np.sqrt((e * e).sum())

    expected = []
    for repeat in noise:
        noisy, restored = _twin_perturb(unet_state, image, repeat[0], [0], 0)
        mirror = image.flip(2)
        noisy_mirror, restored_mirror = _twin_perturb(unet_state, mirror, repeat[1], [0], 0)
        others = (noisy, restored, mirror, noisy_mirror, restored_mirror)
        expected.append([embed(image) @ embed(other) for other in others])
    assert np.ptp(expected, axis=1).min() > 0.01  # the five tell something apart

    options = DifFIQAOptions(unet=unet_path, t=1, repeats=2)
    scorer = DifFIQA(sface64, options, variant="paper")
    got = scorer.cosines(_batch(crops[:1])[0], noise)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    score = scorer.score(crops[:1], noise=noise[None])
    assert score.dtype == torch.float64
    assert abs(score.item() - np.mean(expected)) < 1e-12


@pytest.fixture
def short(unet_path):
    """The fewest passes that a score can have."""
    return DifFIQAOptions(unet=unet_path, t=1, repeats=1)


def test_float32_stays_near_float64(sface32, sface64, short, crops):
    near, exact = (
        DifFIQA(network, short, variant="paper").score(crops[:1]) for network in (sface32, sface64)
    )
    assert near.dtype == torch.float32
    assert abs(near.double() - exact) < 1e-5


def test_visits_the_recorded_levels(sface32, unet_path, crops):
    seen = []
    for variant in ("official", "paper"):
        scorer = DifFIQA(sface32, DifFIQAOptions(unet=unet_path, repeats=1), variant=variant)
        scorer.diffusion.unet.register_forward_pre_hook(
            lambda _, given: seen.append((len(given[0]), given[1]))
        )
        scorer.perturb(torch.zeros(2, 3, 8, 8), torch.zeros(2, 5, 3, 8, 8))
    images, levels = zip(*seen, strict=True)
    assert set(images) == {2}  # the image and its mirror image
    assert levels == (4, 3, 2, 1, 0, 0, 4, 3, 2, 1, 0)


def test_batch_and_order_change_nothing(sface32, short, crops):
    scorer = DifFIQA(sface32, short, variant="paper")
    whole = scorer.score(crops[:2])
    assert whole[0] != whole[1]
    assert torch.equal(scorer.score(crops[:2][::-1]), whole.flip(0))
    assert torch.equal(scorer.score(crops[1:2]), whole[1:])


def test_drawn_noise_equals_explicit_noise(sface32, unet_path, crops):
    scorer = DifFIQA(sface32, DifFIQAOptions(unet=unet_path, t=2, repeats=1), seed=3)
    noise = scorer._draw(_batch(crops[:2]))
    assert noise.shape == (2, 1, 2, 2, 3, 112, 112)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert torch.equal(scorer.score(crops[:1]), scorer.score(crops[:1], noise=noise[:1]))
    more = DifFIQA(sface32, DifFIQAOptions(unet=unet_path, t=2, repeats=3), seed=3)
    assert torch.equal(more._draw(_batch(crops[:2]))[:, :1], noise)


def test_seed_decides_the_noise(sface32, short, crops):
    first, again, other = (
        DifFIQA(sface32, short, variant="paper", seed=seed).score(crops[:1]) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_parameters_name_the_unet_by_its_digest(sface32, unet_path):
    with open(unet_path, "rb") as file:  # noqa: PTH123 (a path as text, as users give it)
        digest = hashlib.sha256(file.read()).hexdigest()
    scorer = DifFIQA(sface32, DifFIQAOptions(unet=unet_path))
    assert scorer.parameters == {"t": 5, "repeats": 10, "unet_sha256": digest}


def test_without_a_unet(sface32):
    with pytest.raises(WeightsError, match="diffiqa: expected the option unet"):
        DifFIQA(sface32)


@pytest.mark.parametrize(("option", "value"), [("t", 0), ("t", 2.5), ("repeats", 0)])
def test_wrong_options(option, value):
    with pytest.raises(InvalidArgumentError, match=f"diffiqa: expected {option} .*got"):
        DifFIQAOptions(**{option: value})


def test_more_steps_than_the_schedule_has(sface32, unet_path):
    with pytest.raises(InvalidArgumentError, match="expected t < 20"):
        DifFIQA(sface32, DifFIQAOptions(unet=unet_path, t=20))


def test_wrong_noise(sface32, unet_path, crops):
    scorer = DifFIQA(sface32, DifFIQAOptions(unet=unet_path))
    shape = (1, 10, 2, 5, 3, 112, 112)
    with pytest.raises(InvalidArgumentError, match=r"\[1, 10, 2, 5, 3, 112, 112\]"):
        scorer.score(crops[:1], noise=torch.zeros(1, 3, 112, 112))
    with pytest.raises(InvalidArgumentError, match="int64"):
        scorer.score(crops[:1], noise=torch.zeros(1, dtype=torch.int64).expand(shape))


def test_networks_that_do_not_fit(recipe_backbone, unet_path):
    options = DifFIQAOptions(unet=unet_path)
    with pytest.raises(InvalidArgumentError, match="precision"):
        DifFIQA(load_backbone("sface", precision="bf16", device="cpu"), options)
    smaller = recipe_backbone("sphereface20")
    assert smaller.spec.input.fit != "none"
    with pytest.raises(InvalidArgumentError, match="sees 112x112 pixels"):
        DifFIQA(smaller, options)
