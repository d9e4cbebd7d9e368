import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.classifiability import measure_classifiability
from fiqa_fast.training.losses import quality_loss, quality_target


def test_targets_by_hand():
    ccs, nnccs = torch.tensor([[0.6, -0.3], [0.5, -0.2]], dtype=torch.float64)
    assert quality_target(ccs, nnccs).tolist() == pytest.approx([0.4, -0.375])
    official = quality_target(ccs, nnccs, variant="official")
    assert official.tolist() == pytest.approx([1.2, 1.5])
    for variant in ("paper", "official"):
        found = quality_target(ccs, nnccs, target="ccs", variant=variant)
        assert found.tolist() == [0.6, -0.3]


def test_an_opposite_nearest_class_is_no_division_by_zero():
    found = quality_target(torch.ones(1).double(), -torch.ones(1).double())
    assert found.tolist() == pytest.approx([1e9], rel=1e-6)


def test_target_is_what_evaluation_measures():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((20, 8)).astype(np.float32)
    identity = rng.integers(0, 4, 20)
    centres = rng.standard_normal((4, 8)).astype(np.float32)
    measured = measure_classifiability(embeddings, identity, centres)
    found = quality_target(torch.from_numpy(measured.ccs), torch.from_numpy(measured.nnccs))
    np.testing.assert_array_equal(found.numpy(), measured.cr)


def test_targets_have_no_gradient():
    ccs = torch.rand(4, requires_grad=True)
    nnccs = torch.rand(4, requires_grad=True)
    predicted = torch.rand(4, requires_grad=True)
    assert not quality_target(ccs, nnccs).requires_grad
    quality_loss(predicted, ccs / (nnccs + 1)).backward()
    assert ccs.grad is None
    assert predicted.grad is not None


@given(st.integers(0, 2**31), st.sampled_from([0.5, 1.0]), st.floats(0, 20))
def test_loss_and_gradient_equal_the_formula(seed, beta, weight):
    generator = torch.Generator().manual_seed(seed)
    predicted = (3 * torch.randn(9, generator=generator, dtype=torch.float64)).requires_grad_()
    target = torch.randn(9, generator=generator, dtype=torch.float64)
    loss = quality_loss(predicted, target, beta=beta, weight=weight)
    loss.backward()

    d = (predicted - target).detach().numpy()
    near = np.abs(d) < beta
    expected = np.where(near, d**2 / (2 * beta), np.abs(d) - beta / 2).mean() * weight
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    slope = weight * np.where(near, d / beta, np.sign(d)) / 9
    np.testing.assert_allclose(predicted.grad.numpy(), slope, rtol=1e-12, atol=1e-15)


def test_defaults_are_beta_one_half_and_lambda_ten():
    loss = quality_loss(torch.tensor([1.5, 0.1]), torch.zeros(2))
    assert loss.item() == pytest.approx(10 * (1.25 + 0.01) / 2)


def test_a_bfloat16_prediction_is_compared_in_float32():
    predicted = torch.tensor([0.5], dtype=torch.bfloat16, requires_grad=True)
    loss = quality_loss(predicted, torch.tensor([0.501]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(10 * 0.001**2, rel=1e-3)
    loss.backward()
    assert predicted.grad.item() == pytest.approx(-10 * 0.001 / 0.5, rel=1e-2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: quality_target(x, x, target="nnccs"), "target to be one of cr, ccs"),
        (lambda x: quality_target(x, x, variant="coded"), "variant to be one of"),
        (lambda x: quality_target(x, x[:2]), r"nnccs of shape \[3\]"),
        (lambda x: quality_loss(x[:, None], x), r"shape \[B\], got \[3, 1\]"),
        (lambda x: quality_loss(x, x, beta=0), "beta above 0"),
        (lambda x: quality_loss(x, x, weight=-1), "weight of 0 or more"),
    ],
)
def test_refuses_wrong_arguments(call, message):
    with pytest.raises(InvalidArgumentError, match=message):
        call(torch.zeros(3))
