"""Jitter and blur against torchvision at fixed parameters, image by image."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from segda_core.config import StrongConfig
from segda_core.training.photometric import (
    PARAMETERS,
    colour_jitter,
    draw_parameters,
    gaussian_blur,
    kernel_size,
    strong_augmentation,
)


@pytest.fixture
def images():
    pixels = torch.randint(0, 256, (4, 3, 48, 64), generator=torch.Generator().manual_seed(0)).float()
    pixels[:, :, 40:] = pixels[:, :1, 40:]  # grey: no hue
    pixels[:, 1:, :4] = 0  # pure red
    return pixels


FACTORS = torch.tensor(
    [[1.2, 0.8, 1.0, 0.0], [0.8, 1.2, 0.8, 0.2], [1.0, 1.0, 1.2, -0.2], [1.1, 0.9, 0.0, 0.45]]
)


def torchvisions(image, factors):
    brightness, contrast, saturation, hue = factors.tolist()
    image = functional.adjust_brightness(image / 255, brightness)
    image = functional.adjust_contrast(image, contrast)
    image = functional.adjust_saturation(image, saturation)
    return 255 * functional.adjust_hue(image, hue)


def test_jitter_is_torchvisions_with_each_images_own_factors(images):
    expected = torch.stack([torchvisions(*pair) for pair in zip(images, FACTORS, strict=True)])
    torch.testing.assert_close(colour_jitter(images, FACTORS), expected, rtol=0, atol=0.05)


def test_blur_is_torchvisions_with_each_images_own_sigma(images):
    sigma = torch.tensor([0.2, 0.7, 1.1, 5.0])
    blurred = gaussian_blur(images, sigma)
    for image, result, width in zip(images, blurred, sigma.tolist(), strict=True):
        expected = functional.gaussian_blur(image, [7, 5], [width, width])  # [x, y]
        torch.testing.assert_close(result, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("side", "size"), [(512, 51), (96, 9), (192, 19), (64, 7), (100, 9), (101, 11), (8, 1)]
)
def test_kernel_size_is_odd_and_about_a_tenth(side, size):
    assert kernel_size(side) == size
    tenth = np.ceil(0.1 * side)
    assert size == int(np.floor(tenth - 0.5 + tenth % 2))  # as the release writes it


def test_neutral_parameters_change_nothing(images):
    neutral = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]] * 4)
    torch.testing.assert_close(strong_augmentation(images, neutral), images, rtol=0, atol=1e-3)


def test_inputs_stay_and_integers_are_taken(images):
    pixels = images.to(torch.uint8)
    before = pixels.clone()
    parameters = torch.cat((FACTORS, torch.ones(4, 1)), dim=1)
    result = strong_augmentation(pixels, parameters)
    assert torch.equal(pixels, before)
    assert result.dtype == torch.float32 and result.min() >= 0 and result.max() <= 255
    torch.testing.assert_close(result, strong_augmentation(images, parameters))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(strong_augmentation(pixels, parameters), result)


def test_how_often_and_how_strong():
    drawn = np.array([draw_parameters(np.random.default_rng(seed), StrongConfig()) for seed in range(4000)])
    assert drawn.shape == (4000, PARAMETERS)
    jittered = (drawn[:, :4] != (1, 1, 1, 0)).all(axis=1)
    assert ((drawn[:, :4] == (1, 1, 1, 0)).all(axis=1) == ~jittered).all()
    assert jittered.mean() == pytest.approx(0.8, abs=0.02)
    blurred = drawn[:, 4] > 0
    assert blurred.mean() == pytest.approx(0.5, abs=0.03)
    shifts = drawn[jittered, :4] - (1, 1, 1, 0)
    assert (
        np.abs(shifts).max() <= 0.2
        and (shifts.max(axis=0) > 0.19).all()
        and (shifts.min(axis=0) < -0.19).all()
    )
    sigma = drawn[blurred, 4]
    assert 0.15 <= sigma.min() < 0.16 and 1.14 < sigma.max() <= 1.15


def test_switching_one_part_off_leaves_the_other_and_later_draws():
    def drawn(**options):
        rng = np.random.default_rng(1)
        return draw_parameters(rng, StrongConfig(jitter_probability=1.0, **options)), rng.random()

    (both, after), (unblurred, later) = drawn(blur_probability=1.0), drawn(blur_probability=0.0)
    assert both[:4].tolist() == unblurred[:4].tolist() and unblurred[4] == 0 < both[4]
    assert after == later
