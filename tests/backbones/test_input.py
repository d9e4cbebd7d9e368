import numpy as np
import pytest
import torch

from fiqa_fast.backbones.input import InputSpec, Similarity


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(7)
    return torch.from_numpy(rng.integers(0, 256, (2, 3, 112, 112), np.uint8))


def _bilinear(image, rows, columns):
    """Float64 values of an image [C, H, W] at fractional places; black outside."""
    padded = np.pad(image.astype(np.float64), ((0, 0), (200, 200), (200, 200)))
    rows, columns = rows + 200, columns + 200
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = (rows - top)[:, None], (columns - left)[None]
    total = 0
    for dy, weight_y in ((0, 1 - down), (1, down)):
        for dx, weight_x in ((0, 1 - right), (1, right)):
            total = total + weight_y * weight_x * padded[:, (top + dy)[:, None], (left + dx)[None]]
    return total


def test_crops_of_the_networks_size_stay_as_they_are(batch):
    assert InputSpec().fitted(batch) is batch


def test_the_middle_is_cut_out(batch):
    spec = InputSpec(112, 96, "centre")
    fitted = spec.fitted(batch)
    assert torch.equal(fitted, batch[..., 8:104])
    assert fitted.is_contiguous()
    assert torch.equal(InputSpec(100, 112, "centre").fitted(batch), batch[:, :, 6:106])


@pytest.mark.parametrize(("height", "width"), [(96, 96), (224, 224), (60, 150)])
def test_resizing_is_bilinear_between_pixel_centres(batch, height, width):
    fitted = InputSpec(height, width, "resize").fitted(batch)
    rows = np.clip((np.arange(height) + 0.5) * 112 / height - 0.5, 0, 111)
    columns = np.clip((np.arange(width) + 0.5) * 112 / width - 0.5, 0, 111)
    assert fitted.shape == (2, 3, height, width)
    for image, crop in zip(fitted.numpy(), batch.numpy(), strict=True):
        np.testing.assert_allclose(image, _bilinear(crop, rows, columns), rtol=0, atol=1.01)


@pytest.mark.parametrize(
    "fit", [Similarity(1.0, 0, 0), Similarity(1.5, -10.25, -31), Similarity(0.8, 7, 3)]
)
def test_a_similarity_moves_pixels_and_leaves_black(batch, fit):
    fitted = InputSpec(150, 140, fit).fitted(batch)
    rows, columns = (np.arange(150) - fit.y_px) / fit.scale, (np.arange(140) - fit.x_px) / fit.scale
    assert fitted.dtype == torch.uint8
    for image, crop in zip(fitted.numpy(), batch.numpy(), strict=True):
        np.testing.assert_allclose(image, _bilinear(crop, rows, columns), rtol=0, atol=1.01)


@pytest.mark.parametrize("fit", ["centre", "resize", Similarity(1.5, 0, 0)])
def test_forms_of_the_batch(batch, fit):
    spec = InputSpec(80, 90, fit)
    assert spec.fitted(batch[:0]).shape == (0, 3, 80, 90)
    strided = batch.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    fitted = spec.fitted(strided)
    assert torch.equal(fitted, spec.fitted(batch))
    assert fitted.is_contiguous()
    assert torch.equal(fitted[1:], spec.fitted(batch[1:]))


def test_the_range_and_the_order_of_colours():
    red, green, blue = 10.0, 20.0, 60.0
    pixels = torch.tensor([red, green, blue]).reshape(1, 3, 1, 1)

    def values(**settings):
        return InputSpec(**settings).normalised(pixels).flatten().tolist()

    assert values(pixel_mean=10, pixel_scale=2) == [0, 5, 25]
    assert values(channel_order="BGR", pixel_mean=0, pixel_scale=10) == [6, 2, 1]
    # One mean for each channel, in the network's order.
    assert values(pixel_mean=(1, 2, 3), pixel_scale=1) == [9, 18, 57]
    assert values(channel_order="BGR", pixel_mean=(1, 2, 3), pixel_scale=1) == [59, 18, 7]


@pytest.mark.parametrize("mean", [127.5, (1.0, 2.0, 3.0)])
def test_gradients_and_precision_pass(mean):
    pixels = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    result = InputSpec(channel_order="BGR", pixel_mean=mean, pixel_scale=128.0).normalised(pixels)
    assert result.dtype == torch.float64
    (gradient,) = torch.autograd.grad(result.sum(), pixels)
    assert torch.equal(gradient, torch.full_like(gradient, 1 / 128))


def test_text():
    assert str(InputSpec()) == "112x112 RGB, (pixel - 127.5) / 127.5"
    resized = InputSpec(96, 90, "resize", "BGR", pixel_mean=0.0, pixel_scale=1.0)
    assert str(resized) == "96x90 (resize) BGR, pixel"
    moved = InputSpec(fit=Similarity(1.5, 1, 2), pixel_mean=(1.5, 2, 3), pixel_scale=256.0)
    assert str(moved) == "112x112 (aligned otherwise) RGB, (pixel - [1.5, 2, 3]) / 256"
