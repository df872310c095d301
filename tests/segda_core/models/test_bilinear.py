"""Interpolation by products against torch's own."""

import pytest
import torch
from torch.nn import functional

from segda_core.models.bilinear import bilinear, interpolation_weights

SIZES = [((6, 5), (13, 40)), ((45, 80), (360, 640)), ((1, 1), (4, 3)), ((20, 30), (7, 9)), ((4, 7), (4, 7))]


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("small", "large"), SIZES)
def test_maps_and_gradients_are_those_of_interpolate(small, large, align_corners):
    torch.manual_seed(0)
    ours, theirs = (torch.randn(2, 3, *small).requires_grad_() for _ in range(2))
    theirs.data.copy_(ours.data)
    result = bilinear(ours, large, align_corners=align_corners)
    wanted = functional.interpolate(theirs, large, mode="bilinear", align_corners=align_corners)
    gradient = torch.randn_like(wanted)
    result.backward(gradient)
    wanted.backward(gradient)
    assert torch.allclose(result, wanted, atol=1e-5)
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_products_stay_in_float32_within_autocast():
    maps = torch.rand(1, 2, 5, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = bilinear(maps, (10, 12), align_corners=True)
    assert torch.equal(within, bilinear(maps, (10, 12), align_corners=True))


@pytest.mark.parametrize("align_corners", [True, False])
def test_every_output_is_an_average_of_its_neighbours(align_corners):
    weights = interpolation_weights(7, 31, align_corners, torch.device("cpu"))
    assert torch.allclose(weights.sum(dim=1), torch.ones(31))
    assert weights.gt(0).sum(dim=1).max() == 2
