"""Discriminators of adversarial methods: which domain do these class probabilities come from?"""

from itertools import pairwise

from torch import nn

from segda_core.classes import NUM_CLASSES


class OutputDiscriminator(nn.Sequential):
    """AdaptSegNet's (Tsai et al., CVPR 2018): five 4x4 convolutions of stride 2, LeakyReLU between, no norm.

    (batch, 19, height, width) probabilities to (batch, 1, height / 32, width / 32) raw scores.
    """

    def __init__(self, channels: int) -> None:
        """Channels is the first layer's width: 64 as published has 2 781 121 parameters."""
        widths = (NUM_CLASSES, channels, 2 * channels, 4 * channels, 8 * channels, 1)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        super().__init__(*layers[:-1])
