import torch

from fiqa_fast.backbones.layers.pooling import GlobalAverageUnit, MaxPoolUnit


def test_max_pool_cuts_what_is_left_over():
    image = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert MaxPoolUnit()(image).tolist() == [[[[14, 16], [26, 28]]]]
    assert MaxPoolUnit()(-image).tolist() == [[[[0, -2], [-12, -14]]]]


def test_global_average():
    image = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, -4.0]]]])
    assert GlobalAverageUnit()(image).tolist() == [[[[3.0]], [[-1.0]]]]
