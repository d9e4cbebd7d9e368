"""Every margin against formulas written anew in float64, with angles, by autograd."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.losses import (
    MARGINS,
    ArcFace,
    CosFace,
    CurricularFace,
    ElasticArcFace,
    ElasticCosFace,
    MagFace,
    SampleFacts,
)

B, C = 12, 7


def draw(seed=0, dtype=torch.float64):
    """Cosines all over -1..1, labels, lengths on both sides of MagFace's bounds."""
    generator = torch.Generator().manual_seed(seed)
    cosines = torch.rand(B, C, generator=generator, dtype=dtype) * 1.998 - 0.999
    labels = torch.randint(C, (B,), generator=generator)
    magnitudes = torch.rand(B, generator=generator, dtype=dtype) * 130 + 1
    return cosines, labels, magnitudes


def angle_loss(cosines, labels, margins):
    """The mean of -log of the softmax, one sample after the other."""
    losses = []
    for row, label, margin in zip(cosines, labels, margins, strict=True):
        theta = torch.acos(row[label])
        m = torch.as_tensor(margin, dtype=row.dtype)
        if theta.item() + m.item() <= math.pi:
            target = torch.cos(theta + m)
        else:
            target = row[label] - m * torch.sin(m)
        others = torch.cat([row[:label], row[label + 1 :]])
        losses.append(torch.log(1 + torch.exp(64 * (others - target)).sum()))
    return torch.stack(losses).mean()


def twin(name, cosines, labels, magnitudes):
    """Loss of a margin's paper at its defaults."""
    if name in ("arcface", "elastic-arcface"):
        return angle_loss(cosines, labels, margins_of(name))
    if name in ("cosface", "elastic-cosface"):
        margins = torch.tensor(margins_of(name), dtype=cosines.dtype)
        scaled = 64 * (cosines - F.one_hot(labels, C) * margins[:, None])
        return -torch.log_softmax(scaled, 1)[torch.arange(B), labels].mean()
    if name == "magface":
        a = magnitudes.clamp(10, 110)
        margins = (0.8 - 0.45) / (110 - 10) * (a - 10) + 0.45
        return angle_loss(cosines, labels, margins) + (35 * (1 / a + a / 110**2)).mean()
    own = cosines[torch.arange(B), labels]
    t = 0.01 * own.detach().mean()
    reach = torch.cos(torch.acos(own) + 0.5).detach()[:, None]
    return angle_loss(
        torch.where(
            (cosines > reach) & (F.one_hot(labels, C) == 0), cosines * (t + cosines), cosines
        ),
        labels,
        [0.5] * B,
    )


def margins_of(name):
    if name.startswith("elastic"):
        usual = 0.5 if name == "elastic-arcface" else 0.35
        return [usual + 0.03 * (i - 5) for i in range(B)]
    return [0.5 if name == "arcface" else 0.35] * B


def facts(name, magnitudes):
    if not name.startswith("elastic"):
        return SampleFacts(magnitudes=magnitudes)
    margins = torch.tensor(margins_of(name), dtype=torch.float64)
    return SampleFacts(magnitudes=magnitudes, margins=margins)


def package_loss(name, cosines, labels, magnitudes):
    margin = MARGINS[name]()
    known = facts(name, magnitudes)
    loss = F.cross_entropy(margin(cosines, labels, known), labels)
    regulariser = margin.regulariser(known)
    return loss if regulariser is None else loss + regulariser.mean()


def gradients(function, name, cosines, labels, magnitudes):
    cosines, magnitudes = cosines.clone().requires_grad_(), magnitudes.clone().requires_grad_()
    loss = function(name, cosines, labels, magnitudes)
    grad_cosines, grad_magnitudes = torch.autograd.grad(
        loss, [cosines, magnitudes], allow_unused=True
    )
    return loss.detach(), grad_cosines, grad_magnitudes


@pytest.mark.parametrize("name", list(MARGINS))
@given(seed=st.integers(0, 2**31))
def test_loss_and_gradients_equal_the_papers_formula(name, seed):
    cosines, labels, magnitudes = draw(seed)
    found = gradients(package_loss, name, cosines, labels, magnitudes)
    expected = gradients(twin, name, cosines, labels, magnitudes)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-7, atol=1e-11)
    if name == "magface":
        torch.testing.assert_close(found[2], expected[2], rtol=1e-7, atol=1e-12)
    else:
        assert found[2] is None


@pytest.mark.parametrize("name", list(MARGINS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_cosines_are_treated_in_float32(name, dtype):
    cosines, labels, magnitudes = draw()
    low = cosines.to(dtype)
    logits = MARGINS[name]()(low, labels, facts(name, magnitudes.float()))
    exact = MARGINS[name]()(low.double(), labels, facts(name, magnitudes))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.double(), exact, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", list(MARGINS))
@pytest.mark.parametrize("value", [1.0, -1.0, 1.0000001])
def test_gradient_is_finite_at_the_ends(name, value):
    cosines = torch.full((B, C), value, requires_grad=True)
    _, labels, magnitudes = draw()
    loss = F.cross_entropy(
        MARGINS[name]()(cosines, labels, facts(name, magnitudes.float())), labels
    )
    loss.backward()
    assert loss.isfinite()
    assert cosines.grad.isfinite().all()


@pytest.mark.parametrize("name", list(MARGINS))
@given(seed=st.integers(0, 2**31))
def test_order_of_samples_and_classes_does_not_matter(name, seed):
    cosines, labels, magnitudes = draw(seed)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randperm(B, generator=generator), torch.randperm(C, generator=generator)
    known = facts(name, magnitudes)
    moved_facts = SampleFacts(
        magnitudes=magnitudes[rows],
        margins=None if known.margins is None else known.margins[rows],
    )
    logits = MARGINS[name]()(cosines, labels, known)
    moved = MARGINS[name]()(
        cosines[rows][:, columns], torch.argsort(columns)[labels[rows]], moved_facts
    )
    torch.testing.assert_close(moved, logits[rows][:, columns], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", list(MARGINS))
def test_columns_of_a_shard_are_those_of_the_whole(name):
    cosines, labels, magnitudes = draw()
    known = facts(name, magnitudes)
    whole = MARGINS[name]()(cosines, labels, known)
    own = cosines[torch.arange(B), labels]
    for first, last in ((0, 3), (3, C)):
        here = (labels >= first) & (labels < last)
        local = torch.where(here, labels - first, -1)
        part = MARGINS[name]()(cosines[:, first:last], local, known, own=own)
        torch.testing.assert_close(part, whole[:, first:last], rtol=0, atol=0)


def test_defaults_are_those_of_the_papers():
    assert (ArcFace().scale, ArcFace().margin) == (64, 0.5)
    assert (CosFace().scale, CosFace().margin) == (64, 0.35)
    assert (ElasticArcFace().margin, ElasticArcFace().sigma) == (0.5, 0.05)
    assert (ElasticCosFace().margin, ElasticCosFace().sigma) == (0.35, 0.05)
    assert (CurricularFace().margin, CurricularFace().momentum) == (0.5, 0.99)


@given(st.floats(0.0, 1.2), st.floats(-1, 1), st.floats(-1, 1))
def test_a_harder_angle_never_has_a_higher_logit(margin, first, second):
    """The fallback keeps the target falling behind theta = pi - m."""
    easy, hard = max(first, second), min(first, second)
    logits = ArcFace(margin=margin)(
        torch.tensor([[easy, 0.0], [hard, 0.0]], dtype=torch.float64), torch.tensor([0, 0])
    )
    beyond = [c <= -math.cos(margin) for c in (easy, hard)]
    if beyond[0] == beyond[1]:
        assert logits[0, 0] >= logits[1, 0] - 1e-5


def test_elastic_margins_depend_on_seed_step_and_position():
    own = torch.zeros(2000, dtype=torch.float64)
    margin = ElasticCosFace(sigma=0.05, seed=3)
    first = margin.margins(own, SampleFacts(step=7))
    assert torch.equal(first, ElasticCosFace(sigma=0.05, seed=3).margins(own, SampleFacts(step=7)))
    assert torch.equal(first[:100], margin.margins(own[:100], SampleFacts(step=7)))
    for other in (
        margin.margins(own, SampleFacts(step=8)),
        ElasticCosFace(sigma=0.05, seed=4).margins(own, SampleFacts(step=7)),
    ):
        assert abs(float(torch.corrcoef(torch.stack([first, other]))[0, 1])) < 0.1
    assert float(first.mean()) == pytest.approx(0.35, abs=0.005)
    assert float(first.std()) == pytest.approx(0.05, rel=0.1)
    assert first.unique().numel() > 1990


def test_curricular_t_follows_the_cosines_in_training_only():
    margin = CurricularFace()
    cosines, labels = torch.full((4, 3), 0.5), torch.tensor([0, 1, 2, 0])
    margin(cosines, labels)
    assert float(margin.t) == pytest.approx(0.005)
    margin(cosines, labels)
    assert float(margin.t) == pytest.approx(0.99 * 0.005 + 0.005)
    before = float(margin.eval().t)
    margin(cosines, labels)
    assert float(margin.t) == before
    assert list(margin.state_dict()) == ["t"]


def test_backward_after_the_next_forward_uses_its_own_t():
    margin = CurricularFace()
    cosines = torch.tensor([[0.3, 0.9]], requires_grad=True)
    labels = torch.tensor([0])
    logits = margin(cosines, labels)
    margin(torch.full((1, 2), -1.0), labels)
    logits[0, 1].backward()
    assert float(cosines.grad[0, 1]) == pytest.approx(64 * (0.003 + 1.8), rel=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ArcFace(scale=0), "scale above 0"),
        (lambda: CosFace(margin=-0.1), "margin from 0"),
        (lambda: ArcFace(margin=math.nan), "margin from 0"),
        (lambda: ElasticArcFace(sigma=-1), "sigma"),
        (lambda: ElasticArcFace(seed=-1), "seed"),
        (lambda: CurricularFace(momentum=1.5), "momentum"),
        (lambda: MagFace(shortest=200), "shortest < longest"),
        (lambda: MagFace(weight=-1), "weight"),
    ],
)
def test_refuses_wrong_options(make, message):
    with pytest.raises(InvalidArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("cosines", "labels", "message"),
    [
        (torch.zeros(3), torch.zeros(3, dtype=torch.int64), "cosines of shape"),
        (torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), "floating"),
        (torch.zeros(3, 2), torch.zeros(3), "dtype torch.int64"),
        (torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64), r"labels of shape \[3\]"),
        (torch.zeros(3, 2), torch.tensor([0, 1, 2]), "labels from 0 to 1, got 0 to 2"),
        (torch.zeros(3, 2), torch.tensor([0, 1, -1]), "got -1 to 1"),
    ],
)
def test_refuses_wrong_cosines_and_labels(cosines, labels, message):
    with pytest.raises(InvalidArgumentError, match=message):
        ArcFace()(cosines, labels)


def test_refuses_missing_facts():
    cosines, labels, magnitudes = draw()
    with pytest.raises(InvalidArgumentError, match="magnitudes, got None"):
        MagFace()(cosines, labels)
    with pytest.raises(InvalidArgumentError, match=r"magnitudes of shape \[12\]"):
        MagFace()(cosines, labels, SampleFacts(magnitudes=magnitudes[:3]))
    with pytest.raises(InvalidArgumentError, match=r"margins of shape \[12\]"):
        ElasticArcFace()(cosines, labels, SampleFacts(margins=magnitudes[:3]))
