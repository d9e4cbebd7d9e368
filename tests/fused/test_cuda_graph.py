"""Without a GPU a captured function is called as it is; tests/cuda has the rest."""

import torch

from fiqa_fast.fused.cuda_graph import CapturedFunction


def test_elsewhere_it_is_simply_called():
    calls = []

    def double(x):
        calls.append(1)
        return x * 2, x + 1

    captured = CapturedFunction(double)
    for _ in range(2):
        first, second = captured(torch.ones(3))
        assert torch.equal(first, torch.full((3,), 2.0))
        assert torch.equal(second, torch.full((3,), 2.0))
    assert len(calls) == 2
