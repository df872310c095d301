"""CycleGAN's generator and discriminator, their layers written out."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from segda_core.models.cyclegan import PatchDiscriminator, ResnetGenerator


@pytest.fixture
def layers():
    """(weight, bias) of each convolution in order, drawn anew so that none starts at 0."""

    def draw(network):
        torch.manual_seed(0)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.1)
        parameters = list(network.parameters())
        return list(zip(parameters[::2], parameters[1::2], strict=True))

    return draw


def norm(hidden):
    """Each channel of each image to mean 0 and variance 1."""
    centred = hidden - hidden.mean((2, 3), keepdim=True)
    return centred / ((centred**2).mean((2, 3), keepdim=True) + 1e-5).sqrt()


def reflected(hidden, right_below, left_above=0):
    before, (right, below) = left_above, right_below
    return functional.pad(hidden, (before, right, before, below), mode="reflect")


def test_generator_written_out(layers):
    network = ResnetGenerator(channels=4, blocks=2)
    first, *down, one, two, three, four, up, upper, last = layers(network)
    images = torch.rand(2, 3, 22, 27) * 2 - 1

    def around(hidden, layer, by):
        return functional.conv2d(reflected(hidden, (by, by), by), *layer)

    hidden = norm(around(reflected(images, (1, 2)), first, 3)).relu()  # 24 x 28: multiples of four
    for layer in down:
        hidden = norm(functional.conv2d(hidden, *layer, stride=2, padding=1)).relu()
    assert hidden.shape == (2, 16, 6, 7)
    for before, after in ((one, two), (three, four)):
        hidden = hidden + norm(around(norm(around(hidden, before, 1)).relu(), after, 1))
    for layer in (up, upper):
        hidden = norm(functional.conv_transpose2d(hidden, *layer, 2, 1, 1)).relu()
    wanted = around(hidden, last, 3).tanh()[..., :22, :27]
    assert wanted.abs().mean() < 0.9  # a tanh at its ends would show nothing
    torch.testing.assert_close(network(images), wanted, rtol=1e-4, atol=1e-5)


def test_discriminator_written_out(layers):
    network = PatchDiscriminator(channels=4)
    first, *inner, last = layers(network)
    images = torch.rand(2, 3, 48, 40) * 2 - 1

    def leaky(hidden):
        return torch.where(hidden > 0, hidden, 0.2 * hidden)

    hidden = leaky(functional.conv2d(images, *first, stride=2, padding=1))
    for layer, stride in zip(inner, (2, 2, 1), strict=True):
        hidden = leaky(norm(functional.conv2d(hidden, *layer, stride=stride, padding=1)))
    wanted = functional.conv2d(hidden, *last, padding=1)
    torch.testing.assert_close(network(images), wanted, rtol=1e-4, atol=1e-5)
