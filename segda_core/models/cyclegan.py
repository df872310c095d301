"""CycleGAN's networks (Zhu et al., ICCV 2017): a residual generator and a PatchGAN discriminator.

Images are RGB in [-1, 1]. Instance norm has neither parameters nor running statistics, so a network does the
same in training and afterwards, and N ranks equal one. Convolutions keep their biases, as in the release.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 4
"""Of the generator's middle: sides are padded to a multiple of it."""


def to_unit(images: Tensor) -> Tensor:
    """0-255 to [-1, 1], in float32."""
    return images.float() / 127.5 - 1


def from_unit(images: Tensor) -> Tensor:
    """[-1, 1] to 0-255, uint8."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class ResnetGenerator(nn.Module):
    """c7s1-C, d2C, d4C, residual blocks, u2C, uC, c7s1-3 and tanh: an image to one of the same size."""

    def __init__(self, channels: int, blocks: int) -> None:
        """64 channels and 9 blocks as published have 11 378 179 parameters."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(3),
            *_conv_norm_relu(nn.Conv2d(3, channels, 7)),
            *_conv_norm_relu(nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)),
            *_conv_norm_relu(nn.Conv2d(2 * channels, 4 * channels, 3, stride=2, padding=1)),
            *(ReflectedResidual(4 * channels) for _ in range(blocks)),
            *_conv_norm_relu(_doubling(4 * channels, 2 * channels)),
            *_conv_norm_relu(_doubling(2 * channels, channels)),
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, 3, 7),
            nn.Tanh(),
        )
        _init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Of the input's size, whatever that is."""
        height, width = images.shape[2:]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        padded = functional.pad(images, padding, mode="reflect") if any(padding) else images
        made: Tensor = self.layers(padded)
        return made[..., :height, :width].float()


class ReflectedResidual(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), reflected at the borders."""

    repeated = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_conv_norm_relu(nn.Conv2d(channels, channels, 3)),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Same shape as the input."""
        change: Tensor = self.block(inputs)
        return inputs + change


class PatchDiscriminator(nn.Sequential):
    """Raw scores (batch, 1, h, w), each of a patch of 70 x 70 pixels of an image."""

    def __init__(self, channels: int) -> None:
        """64 channels as published have 2 764 737 parameters."""
        widths = (3, channels, 2 * channels, 4 * channels, 8 * channels)
        layers: list[nn.Module] = []
        for (inputs, outputs), stride in zip(pairwise(widths), (2, 2, 2, 1), strict=True):
            layers.append(nn.Conv2d(inputs, outputs, 4, stride, padding=1))
            layers += [nn.InstanceNorm2d(outputs)] if inputs > 3 else []
            layers.append(nn.LeakyReLU(0.2))
        super().__init__(*layers, nn.Conv2d(8 * channels, 1, 4, padding=1))
        _init_normal(self)


def _conv_norm_relu(convolution: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, ...]:
    return convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU()


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


def _init_normal(network: nn.Module) -> None:
    """Weights from N(0, 0.02), biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
