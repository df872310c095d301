"""AdaptSegNet's discriminator."""

import torch
from torch import nn

from segda_core.models.discriminators import OutputDiscriminator


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
