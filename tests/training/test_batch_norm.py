from __future__ import annotations

import pytest
import torch
from torch import nn

from fiqa_fast.training.batch_norm import synchronise_batch_norm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.BatchNorm1d, (6, 5)), (nn.BatchNorm2d, (6, 5, 3, 4))]
)
def test_alone_it_is_torchs_layer(
    layer: type[nn.Module], shape: tuple[int, ...], affine: bool
) -> None:
    torch.manual_seed(0)
    plain = layer(5, affine=affine).double()
    own = layer(5, affine=affine).double()
    own.load_state_dict(plain.state_dict())
    synchronise_batch_norm(own)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()

    for _ in range(3):
        expected, found = plain(x), own(y)
        (expected * torch.arange(expected.numel()).view(shape)).sum().backward()
        (found * torch.arange(found.numel()).view(shape)).sum().backward()

    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(y.grad, x.grad)
    torch.testing.assert_close(own.state_dict(), plain.state_dict())
    torch.testing.assert_close(own.eval()(y), plain.eval()(x))
    assert own.state_dict().keys() == plain.state_dict().keys()
