"""Atrous spatial pyramid pooling with separable convolutions (DeepLabV3+, Chen et al. 2018)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.models.blocks import conv_norm_relu


def separable(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    """Depthwise 3x3 with batch norm and ReLU, then pointwise with the same."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        conv_norm_relu(inputs, outputs, 1),
    )


class Context(nn.Module):
    """Views of several sizes around each pixel, and the whole image, projected to `channels`.

    Unlike the paper's, the image-level branch has no batch norm, so that a micro-batch of one image can be
    trained on.
    """

    def __init__(self, inputs: int, channels: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_norm_relu(inputs, channels, 1), *(separable(inputs, channels, d) for d in dilations)]
        )
        self.image = nn.Conv2d(inputs, channels, 1)
        self.project = conv_norm_relu((len(dilations) + 2) * channels, channels, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, channels, height, width)."""
        views = [branch(inputs) for branch in self.branches]
        image = functional.relu(self.image(inputs.mean((2, 3), keepdim=True)))
        projected: Tensor = self.project(torch.cat((*views, image.expand_as(views[0])), dim=1))
        return projected
