import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.training.losses.margin import HardNegatives
from fiqa_fast.training.nearest_class import (
    nearest_negative,
    sum_negatives,
    sum_negatives_reference,
)

B, C, D = 9, 23, 6


def draw(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    units = torch.randn(B, D, generator=generator, dtype=dtype)
    units = (units / units.norm(dim=1, keepdim=True)).requires_grad_()
    weights = torch.randn(C, D, generator=generator, dtype=dtype).requires_grad_()
    own = torch.randint(-1, C, (B,), generator=generator)
    pull = torch.randn(B, generator=generator, dtype=dtype)
    hard = HardNegatives(
        0.3 * torch.randn(B, generator=generator, dtype=dtype), pull.new_tensor(0.2)
    )
    rows = (torch.rand(C, generator=generator) < 0.6).nonzero()[:, 0]
    return units, weights, own, pull, hard, rows


def both_ways(function, units, weights, own, pull, **options):
    log_sum, nearest = function(units, weights, own, 64.0, **options)
    grads = torch.autograd.grad((log_sum * pull).sum(), [units, weights])
    return log_sum.detach(), nearest, *grads


@given(st.integers(0, 2**31), st.integers(1, 30), st.booleans(), st.booleans())
def test_same_as_with_the_whole_matrix(seed, block, is_hard, is_sampled):
    units, weights, own, pull, hard, rows = draw(seed)
    options = {"hard": hard if is_hard else None, "rows": rows if is_sampled else None}
    if is_sampled:
        own = own.where(own < len(rows), -1)
    if is_sampled and len(rows) < 2:
        return
    found = both_ways(sum_negatives, units, weights, own, pull, **options, block=block)
    expected = both_ways(sum_negatives_reference, units, weights, own, pull, **options)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    if not is_sampled:
        nearest = nearest_negative(units.detach(), weights, own, block=block)
        torch.testing.assert_close(nearest, expected[1], rtol=1e-12, atol=0)


def test_gradient_equals_differences():
    units, weights, own, *_ = draw()

    def log_sum(u, w):
        return sum_negatives(u, w, own, 4.0, block=7)[0]

    assert torch.autograd.gradcheck(log_sum, (units, weights))


@given(st.integers(0, 2**31))
def test_order_of_classes_does_not_matter(seed):
    units, weights, own, pull, *_ = draw(seed)
    order = torch.randperm(C, generator=torch.Generator().manual_seed(seed))
    moved_own = torch.where(own >= 0, torch.argsort(order)[own.clamp(min=0)], -1)
    first = both_ways(sum_negatives, units, weights, own, pull, block=5)
    second = both_ways(
        sum_negatives, units, weights.detach()[order].requires_grad_(), moved_own, pull, block=5
    )
    torch.testing.assert_close(second[0], first[0])
    torch.testing.assert_close(second[1], first[1])
    torch.testing.assert_close(second[3], first[3][order], atol=1e-12, rtol=1e-7)


@pytest.mark.parametrize("block", [1, 2])
def test_a_sample_without_another_class_has_none(block):
    weights = torch.eye(2, requires_grad=True)
    units = torch.tensor([[1.0, 0.0], [0.6, 0.8]], requires_grad=True)
    rows = torch.tensor([1])
    log_sum, nearest = sum_negatives(
        units, weights, torch.tensor([-1, 0]), 64.0, rows=rows, block=block
    )
    assert nearest.tolist() == [0, -torch.inf]
    assert log_sum.tolist() == [0, -torch.inf]
    torch.logaddexp(log_sum, torch.zeros(2)).sum().backward()
    assert units.grad.isfinite().all()
    assert weights.grad.isfinite().all()
    assert units.grad[1].tolist() == [0, 0]


def test_sums_far_from_one_are_neither_infinite_nor_zero():
    """exp(64 c) of float32 would be within its range, exp(64 c - 64) of these is not."""
    units = torch.tensor([[1.0, 0.0]], requires_grad=True)
    weights = torch.tensor([[-3.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    log_sum, _ = sum_negatives(units, weights, torch.tensor([-1]), 200.0, block=1)
    assert log_sum.item() == pytest.approx(-200 + 0.6931472, rel=1e-6)


def test_the_matrix_is_never_whole():
    """The largest tensor that is saved or made has the size of the weights, not of [B, C]."""
    units = torch.nn.functional.normalize(torch.randn(64, 4)).requires_grad_()
    weights = torch.randn(5000, 4, requires_grad=True)
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                sizes.append(result.numel())
            return result

    with Watch():
        sum_negatives(units, weights, torch.zeros(64, dtype=torch.int64), 64.0, block=50)[
            0
        ].sum().backward()
    assert max(sizes) == 5000 * 4
