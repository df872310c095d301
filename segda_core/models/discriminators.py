"""Discriminators of adversarial methods: which domain do these class probabilities come from?"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.classes import NUM_CLASSES

CHANNEL_MULTIPLE = 8
"""Of channels, what cuDNN's fast convolutions take: it fills up others by a kernel of its own."""


class OutputDiscriminator(nn.ModuleList):  # torch 2.11 compiles no `nn.Sequential` as such
    """AdaptSegNet's (Tsai et al., CVPR 2018): five 4x4 convolutions of stride 2, LeakyReLU between, no norm.

    (batch, 19, height, width) probabilities to (batch, 1, height / 32, width / 32) raw scores.
    """

    repeated = True

    def __init__(self, channels: int) -> None:
        """Channels is the first layer's width: 64 as published has 2 781 121 parameters."""
        widths = (NUM_CLASSES, channels, 2 * channels, 4 * channels, 8 * channels, 1)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        super().__init__(layers[:-1])

    def forward(self, inputs: Tensor) -> Tensor:
        """See the class."""
        first, *others = self
        filled = inputs.is_cuda and torch.compiler.is_compiling()  # then it costs no pass of its own
        hidden: Tensor = convolved_with_zeros(first, inputs) if filled else first(inputs)
        for layer in others:
            hidden = layer(hidden)
        return hidden


def convolved_with_zeros(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What the convolution returns, of inputs and weights with zeros up to `CHANNEL_MULTIPLE`."""
    assert isinstance(layer, nn.Conv2d)
    missing = (0, 0, 0, 0, 0, -inputs.shape[1] % CHANNEL_MULTIPLE)
    weight = functional.pad(layer.weight, missing)
    return functional.conv2d(functional.pad(inputs, missing), weight, layer.bias, layer.stride, layer.padding)


class MultiScaleDiscriminator(nn.Module):
    """MRNet's (Zheng & Yang, IJCAI 2020): one network for each of three sizes, no norm, weights N(0, 0.02).

    (batch, 19, height, width) probabilities to raw scores (batch, 1, h, w) of every size, at an eighth of it.
    """

    SCALES = 3

    def __init__(self, channels: int) -> None:
        """Channels is the first layer's width: 32 as published has 1 041 699 parameters."""
        super().__init__()
        self.scales = nn.ModuleList(_patch_scores(channels) for _ in range(self.SCALES))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Scores at full, half and quarter size; zeros around the image do not count in the averages."""
        scores = []
        for network in self.scales:
            scores.append(network(inputs))
            inputs = functional.avg_pool2d(inputs, 3, stride=2, padding=1, count_include_pad=False)
        return scores


def _patch_scores(channels: int) -> nn.Sequential:
    """Five 3x3 convolutions, three of them of stride 2, four residual blocks, a 1x1 convolution."""
    widths = (NUM_CLASSES, *(channels,) * 4, 2 * channels)
    layers: list[nn.Module] = []
    for (inputs, outputs), stride in zip(pairwise(widths), (2, 1, 2, 1, 2), strict=True):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(
        *layers, *(PatchResidual(2 * channels) for _ in range(4)), nn.Conv2d(2 * channels, 1, 1)
    )


class PatchResidual(nn.Module):
    """x + conv(leaky_relu(conv(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Same shape as the input."""
        change: Tensor = self.block(inputs)
        return inputs + change
