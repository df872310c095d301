"""`deeplabv2_mrnet_resnet101`: the generator of MRNet (Zheng & Yang, IJCAI 2020, arXiv 1912.11164).

DeepLabV2's trunk at stride 8 under two richer heads: parallel 1x1 and dilated 3x3 convolutions with group
norm, reweighted channel by channel (squeeze and excitation), reduced to 512 channels and classified behind
channel dropout. The auxiliary head reads layer3; the main one layer4 and layer3 together. Kept: layers and
their first weights, affine batch-norm parameters fixed while batch statistics are used. Different: RGB and
the stride on the 3x3 convolutions, as in `deeplabv2_resnet101`.
"""

import torch
from torch import Tensor, nn

from segda_core.classes import NUM_CLASSES
from segda_core.config import DeepLabV2MRNetConfig
from segda_core.models.base import Logits
from segda_core.models.resnet101 import ResNet101, ResNet101Segmenter

DILATIONS = (6, 12, 18, 24)
CHANNELS = 256
"""Of each branch."""
REDUCED = 512
"""Channels before the classifier."""
GROUPS = 32
"""Of each group norm."""
SQUEEZE = 16
"""Factor by which the channel weights' hidden layer is narrower."""


class ChannelWeights(nn.Module):
    """Squeeze and excitation: each channel times a factor in 0-1 made from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factors = nn.Sequential(
            nn.Linear(channels, channels // SQUEEZE),
            nn.ReLU(inplace=True),
            nn.Linear(channels // SQUEEZE, channels),
            nn.Sigmoid(),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Same shape as the input."""
        factors: Tensor = self.factors(inputs.mean((2, 3)))
        return inputs * factors[:, :, None, None]


class ContextHead(nn.Module):
    """15 818 832 parameters on 1024 input channels, 35 217 488 on 3072."""

    def __init__(self, inputs: int, dropout: float) -> None:
        super().__init__()
        branches = [_branch(inputs, 1, 1), *(_branch(inputs, 3, dilation) for dilation in DILATIONS)]
        self.branches = nn.ModuleList(branches)
        together = len(branches) * CHANNELS
        reduce = nn.Conv2d(together, REDUCED, 3, padding=1)
        nn.init.kaiming_normal_(reduce.weight, mode="fan_in")
        assert reduce.bias is not None
        nn.init.zeros_(reduce.bias)
        self.reduce = nn.Sequential(ChannelWeights(together), reduce, nn.GroupNorm(GROUPS, REDUCED))
        classifier = nn.Conv2d(REDUCED, NUM_CLASSES, 1, bias=False)
        nn.init.normal_(classifier.weight, std=0.001)
        self.classify = nn.Sequential(nn.Dropout2d(dropout), classifier)

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, 19, height, width)."""
        views = torch.cat([branch(inputs) for branch in self.branches], dim=1)
        logits: Tensor = self.classify(self.reduce(views))
        return logits


def _branch(inputs: int, kernel: int, dilation: int) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, CHANNELS, kernel, padding=padding, dilation=dilation),
        nn.GroupNorm(GROUPS, CHANNELS),
        nn.ReLU(inplace=True),
    )


class DeepLabV2MRNet(ResNet101Segmenter):
    """Both heads at stride 8; `batch_norm` says what of the trunk's batch norm is trained."""

    has_aux = True

    def __init__(self, config: DeepLabV2MRNetConfig) -> None:
        trunk = ResNet101(8, config.stride_on, ceil_pool=True)
        super().__init__(trunk, config.batch_norm, align_corners=config.align_corners)
        self.trunk_lr_multiplier = config.trunk_lr_multiplier
        self.aux_head = ContextHead(1024, config.dropout)
        self.main_head = ContextHead(2048 + 1024, config.dropout)
        self.load(config.weights, config.trunk_input)

    def heads(self, stages: tuple[Tensor, ...]) -> Logits:
        """Logits at stride 8 (a 512 x 1024 image gives 65 x 129)."""
        _, layer3, layer4 = stages
        return Logits(self.main_head(torch.cat((layer4, layer3), dim=1)), self.aux_head(layer3))
