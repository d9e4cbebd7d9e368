import pytest
import torch

from fiqa_fast.backbones.layers.tensorflow_layout import to_torch


def test_kernels():
    kernel = torch.randn(2, 3, 4, 5)
    turned = to_torch(kernel)
    assert turned.shape == (5, 4, 2, 3)
    assert turned[4, 1, 0, 2] == kernel[0, 2, 1, 4]


def test_depthwise_kernels():
    kernel = torch.randn(2, 3, 4, 1)
    turned = to_torch(kernel)
    assert turned.shape == (4, 1, 2, 3)
    assert turned[3, 0, 1, 2] == kernel[1, 2, 3, 0]


def test_matrices_and_vectors():
    matrix, vector = torch.randn(2, 3), torch.randn(4)
    assert to_torch(matrix).tolist() == [[row[i].item() for row in matrix] for i in range(3)]
    assert torch.equal(to_torch(vector), vector)


@pytest.mark.parametrize(
    "shape", [(1, 1, 6, 1), (1, 1, 1, 7), (3, 3, 1, 1), (5, 1), (1, 5), (1, 1, 4, 8)]
)
def test_the_memory_is_that_of_a_fresh_tensor(shape):
    turned = to_torch(torch.zeros(shape))
    assert turned.stride() == torch.zeros(turned.shape).stride()
