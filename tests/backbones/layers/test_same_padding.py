import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.backbones.layers.same_padding import SameConv2d


def _convolved(image, kernel, stride):
    """TensorFlow's definition, term by term: out[y] = sum of in[stride * y + dy - before]."""
    rows, columns = image.shape
    size = len(kernel)
    before = []
    for length in image.shape:
        total = max(
            size - stride if length % stride == 0 else size - length % stride,
            0,
        )
        before.append(total // 2)
    out = np.zeros((-(-rows // stride), -(-columns // stride)))
    for y, x, dy, dx in np.ndindex(*out.shape, size, size):
        row, column = stride * y + dy - before[0], stride * x + dx - before[1]
        if 0 <= row < rows and 0 <= column < columns:
            out[y, x] += image[row, column] * kernel[dy, dx]
    return out


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    size=st.integers(1, 7),
    stride=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_equals_the_definition_of_tensorflow(rows, columns, size, stride, seed):
    rng = np.random.default_rng(seed)
    image, kernel = rng.standard_normal((rows, columns)), rng.standard_normal((size, size))
    conv = SameConv2d(1, 1, size, stride).double().requires_grad_(False)
    conv.weight.copy_(torch.from_numpy(kernel))
    result = conv(torch.from_numpy(image)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(result, _convolved(image, kernel, stride), atol=1e-12)


def test_an_even_image_is_padded_below_and_right():
    conv = SameConv2d(1, 1, 3, 2).requires_grad_(False)
    conv.weight.zero_()[0, 0, 0, 0] = 1
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert conv(image).tolist() == [[[[0, 2], [8, 10]]]]


@pytest.mark.parametrize("groups", [1, 4])
def test_groups(groups):
    assert SameConv2d(4, 8, 3, groups=groups).weight.shape == (8, 4 // groups, 3, 3)
