"""Discriminators: published sizes, and their layers written out."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from segda_core.models.discriminators import (
    MultiScaleDiscriminator,
    OutputDiscriminator,
    convolved_with_zeros,
)


def test_published_width_has_the_published_number_of_parameters():
    with torch.device("meta"):
        discriminator = OutputDiscriminator(64)
        scores = discriminator(torch.empty(2, 19, 512, 1024))
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 2_781_121
    assert scores.shape == (2, 1, 16, 32)


def test_last_layer_is_a_plain_convolution():
    layers = list(OutputDiscriminator(4))
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.LeakyReLU] * 4 + [nn.Conv2d]
    assert all(layer.negative_slope == 0.2 for layer in layers[1::2])


def test_its_layers_follow_each_other():
    torch.manual_seed(0)
    discriminator, images = OutputDiscriminator(4), torch.rand(2, 19, 64, 96)
    assert torch.equal(discriminator(images), nn.Sequential(*discriminator)(images))
    assert [*discriminator.state_dict()] == [
        f"{n}.{kind}" for n in range(0, 9, 2) for kind in ("weight", "bias")
    ]


@pytest.mark.parametrize("multiple", [8, 32, 19])
def test_zeros_beside_its_classes_change_nothing(multiple, monkeypatch):
    monkeypatch.setattr("segda_core.models.discriminators.CHANNEL_MULTIPLE", multiple)
    torch.manual_seed(0)
    layer, images = OutputDiscriminator(4)[0], torch.rand(2, 19, 8, 12)
    results = []
    for convolved in (layer, partial(convolved_with_zeros, layer)):
        layer.zero_grad()
        inputs = images.clone().requires_grad_()
        outputs = convolved(inputs)
        outputs.square().sum().backward()
        results.append([outputs, inputs.grad, layer.weight.grad, layer.bias.grad])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_multi_scale_scores_of_the_published_width():
    with torch.device("meta"):
        discriminator = MultiScaleDiscriminator(32)
        scores = discriminator(torch.empty(2, 19, 512, 1024))
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 1_041_699
    assert [each.shape for each in scores] == [(2, 1, 64, 128), (2, 1, 32, 64), (2, 1, 16, 32)]


def test_multi_scale_layers_written_out():
    torch.manual_seed(0)
    discriminator = MultiScaleDiscriminator(4)
    for parameter in discriminator.parameters():
        nn.init.normal_(parameter, std=0.2)
    inputs = torch.rand(2, 19, 24, 40)

    def half(images):
        """Averages of 3x3 neighbours within the image, at every other pixel."""
        ones = torch.ones(1, 1, 3, 3)
        total = functional.conv2d(images.flatten(0, 1)[:, None], ones, stride=2, padding=1)
        inside = functional.conv2d(torch.ones(1, 1, *images.shape[2:]), ones, stride=2, padding=1)
        return (total / inside).view(*images.shape[:2], *total.shape[2:])

    def score(network, hidden):
        weights = list(network.parameters())
        pairs = list(zip(weights[::2], weights[1::2], strict=True))
        for (weight, bias), stride in zip(pairs[:5], (2, 1, 2, 1, 2), strict=True):
            hidden = functional.conv2d(hidden, weight, bias, stride, 1)
            hidden = torch.maximum(hidden, 0.2 * hidden)
        for index in range(4):
            (first, second), residual = pairs[5 + 2 * index : 7 + 2 * index], hidden
            hidden = functional.conv2d(hidden, *first, padding=1)
            hidden = residual + functional.conv2d(torch.maximum(hidden, 0.2 * hidden), *second, padding=1)
        assert len(pairs) == 5 + 8 + 1
        return functional.conv2d(hidden, *pairs[-1])

    sizes = (inputs, half(inputs), half(half(inputs)))
    wanted = [score(network, size) for network, size in zip(discriminator.scales, sizes, strict=True)]
    for got, expected in zip(discriminator(inputs), wanted, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_multi_scale_weights_start_narrow_and_biases_at_zero():
    torch.manual_seed(0)
    for name, parameter in MultiScaleDiscriminator(32).named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif parameter.numel() > 1000:
            assert abs(parameter.std().item() - 0.02) < 0.001
