"""The noise schedule against the coefficients that denoising-diffusion-pytorch computes."""

import numpy as np
import pytest
import torch

from fiqa_fast.diffusion.schedule import NoiseSchedule
from fiqa_fast.errors import InvalidArgumentError


@pytest.fixture(scope="module")
def schedule():
    """The cosine schedule of Nichol and Dhariwal (2021), T = 1000."""
    time = np.linspace(0, 1, 1001)
    kept = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
    return NoiseSchedule(np.clip(1 - kept[1:] / kept[:-1], 0, 0.999))


ONE, ZERO = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1)


def test_noise_has_the_librarys_coefficients(schedule, golden_unet):
    expected = golden_unet["cosine_schedule"]
    levels = range(len(expected["betas"]))
    np.testing.assert_allclose(schedule.betas[: len(levels)], expected["betas"], rtol=1e-6)
    image = [schedule.add_noise(ONE, k, ZERO).item() for k in levels]
    noise = [schedule.add_noise(ZERO, k, ONE).item() for k in levels]
    np.testing.assert_allclose(image, expected["sqrt_alphas_cumprod"], rtol=1e-6)
    np.testing.assert_allclose(noise, expected["sqrt_one_minus_alphas_cumprod"], rtol=1e-6)


def test_steps_have_the_librarys_coefficients(schedule, golden_unet):
    expected = golden_unet["cosine_schedule"]
    levels = range(len(expected["betas"]))
    guess = [schedule.previous(ZERO, k, ONE, None).item() for k in levels]
    noisy = [schedule.previous(ONE, k, ZERO, None).item() for k in levels]
    fresh = [schedule.previous(ZERO, k, ZERO, ONE).item() ** 2 for k in levels]
    np.testing.assert_allclose(guess, expected["posterior_mean_coef1"], rtol=1e-6)
    np.testing.assert_allclose(noisy, expected["posterior_mean_coef2"], rtol=1e-6)
    np.testing.assert_allclose(fresh, expected["posterior_variance"], rtol=1e-6)


def test_the_step_from_level_0_is_the_guess(schedule):
    noisy, guess, noise = torch.randn(3, 2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(schedule.previous(noisy, 0, guess, None), guess, rtol=0, atol=1e-15)
    torch.testing.assert_close(schedule.previous(noisy, 0, guess, noise), guess, rtol=0, atol=1e-15)


def test_a_step_with_the_right_guess_has_the_noise_of_the_level_below(schedule):
    generator = torch.Generator().manual_seed(0)
    image = torch.full((400_000,), 0.5, dtype=torch.float64)
    noises = torch.randn(2, *image.shape, dtype=torch.float64, generator=generator)
    below = schedule.previous(schedule.add_noise(image, 700, noises[0]), 700, image, noises[1])
    kept = schedule.alpha_products[699]
    assert abs(below.mean() - 0.5 * kept**0.5) < 0.005
    assert abs(below.var() / (1 - kept) - 1) < 0.01


@pytest.mark.parametrize(
    "betas", [np.array([]), np.array([[0.1]]), np.array([0.1, 0.0]), np.array([1.0])]
)
def test_no_schedule(betas):
    with pytest.raises(
        InvalidArgumentError, match=r"noise schedule: expected betas of shape \[T\]"
    ):
        NoiseSchedule(betas)
