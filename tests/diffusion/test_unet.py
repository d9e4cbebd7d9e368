"""The UNet against the outputs of denoising-diffusion-pytorch's own."""

import hashlib

import numpy as np
import pytest
import torch

from fiqa_fast.diffusion.layers import standardised
from fiqa_fast.diffusion.unet import UNet, UNetSize

RELEASED_WIDTHS = (128, 256, 512, 1024)


@pytest.fixture(params=["unshuffle", "strided"])
def downsampling(request):
    return request.param


@pytest.mark.parametrize("level", [0, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_equal_the_librarys(golden_unet, recipe_state_dict, downsampling, level, dtype):
    with torch.device("meta"):
        unet = UNet(UNetSize(8, (8, 16, 32), downsampling)).eval()
    weights = recipe_state_dict({k: t.shape for k, t in unet.state_dict().items()})
    state = {
        k: (standardised(t.double()) if k.endswith(".proj.weight") else t).to(dtype)
        for k, t in weights.items()
    }
    unet.load_state_dict(state, assign=True)
    x = torch.sin(0.37 * torch.arange(2 * 3 * 16 * 16, dtype=torch.float64)).reshape(2, 3, 16, 16)
    with torch.no_grad():
        got = unet(x.float().to(dtype), level)
    assert got.dtype == dtype
    expected = np.array(golden_unet["downsampling"][downsampling]["output"][str(level)])
    error = np.abs(got[:, :, ::5, ::5].double().flatten().numpy() - expected).max()
    assert error < 3e-6 * np.abs(expected).max()  # the library ran in float32


def test_the_released_size_has_the_librarys_names_and_shapes(golden_unet, downsampling):
    expected = golden_unet["downsampling"][downsampling]["released_size"]
    with torch.device("meta"):
        unet = UNet(UNetSize(128, RELEASED_WIDTHS, downsampling))
    shapes = sorted(f"{name} {list(t.shape)}" for name, t in unet.state_dict().items())
    assert len(shapes) == expected["tensors"]
    assert sum(p.numel() for p in unet.parameters()) == expected["parameters"]
    assert hashlib.sha256("\n".join(shapes).encode()).hexdigest() == expected["sha256"]


def test_images_do_not_see_each_other(downsampling):
    torch.manual_seed(0)
    unet = UNet(UNetSize(8, (8, 16), downsampling)).double().eval()
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        together, alone = unet(x, 2), unet(x[1:2], 2)
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-12)
    with torch.no_grad():
        assert not torch.allclose(unet(x, 3), together)  # the level matters
