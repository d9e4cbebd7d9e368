"""Crops in a network's size, inside a graph as outside."""

import pytest
import torch

from fiqa_fast.backbones.registry import list_backbones
from fiqa_fast.engines.fit import fitted

SPECS = {str(spec.input): spec for spec in list_backbones()}


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
def test_equals_what_happens_outside(spec, crops):
    noise = torch.randint(0, 256, (3, 112, 112, 3), generator=torch.Generator().manual_seed(1))
    batch = torch.cat([torch.from_numpy(crops[:5]), noise.to(torch.uint8)])
    expected = spec.input.fitted(batch.permute(0, 3, 1, 2).contiguous())
    found = fitted(spec.input, batch)
    assert found.shape == expected.shape
    difference = (found.to(torch.int32) - expected.to(torch.int32)).abs()
    if spec.name.startswith("dlib"):  # rounding of floating-point weights
        assert difference.max() <= 1
        assert (difference > 0).float().mean() < 2e-4
    else:
        assert difference.max() == 0
