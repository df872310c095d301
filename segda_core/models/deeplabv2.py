"""`deeplabv2_resnet101`: the two-head DeepLabV2 of AdaptSegNet (Tsai et al., CVPR 2018).

A caffe-style ResNet-101 (stride on the first 1x1 convolution, max-pool that rounds up) kept at stride 8 by
dilation 2 in layer3 and 4 in layer4. Each head sums dilated 3x3 convolutions straight to the classes: the
auxiliary one on layer3, the main one on layer4. Module names of the trunk are torchvision's. Input is RGB
with ImageNet's mean and std, as torchvision's weights expect, not the release's BGR.
"""

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.classes import NUM_CLASSES
from segda_core.config import DeepLabV2Config
from segda_core.models.base import Logits, Segmenter
from segda_core.models.blocks import init_convolutions
from segda_core.models.weights import load_by_name, load_weights, resnet101_imagenet

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class Bottleneck(nn.Module):
    """1x1 (with the stride), 3x3 (with the dilation), 1x1 to four times the channels, around a shortcut."""

    def __init__(self, inputs: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = 4 * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, 4 * channels, height / stride, width / stride)."""
        hidden = functional.relu(self.bn1(self.conv1(inputs)))
        hidden = functional.relu(self.bn2(self.conv2(hidden)))
        return functional.relu(self.bn3(self.conv3(hidden)) + self.downsample(inputs))


def layer(inputs: int, channels: int, blocks: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """One ResNet layer; every block has the dilation, the first one the stride."""
    first = Bottleneck(inputs, channels, stride, dilation)
    rest = (Bottleneck(4 * channels, channels, 1, dilation) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


class ResNet101(nn.Module):
    """The trunk: 42 394 816 convolution weights and 105 344 batch-norm parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = layer(64, 64, 3)
        self.layer2 = layer(256, 128, 4, stride=2)
        self.layer3 = layer(512, 256, 23, dilation=2)
        self.layer4 = layer(1024, 512, 3, dilation=4)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features of layer3 (1024 channels) and layer4 (2048), both at stride 8."""
        stem = functional.relu(self.bn1(self.conv1(inputs)))
        stem = functional.max_pool2d(stem, 3, stride=2, padding=1, ceil_mode=True)
        layer3 = self.layer3(self.layer2(self.layer1(stem)))
        return layer3, self.layer4(layer3)


class DilatedHead(nn.Module):
    """Sum of 3x3 convolutions to the classes, one for each dilation; weights start from N(0, 0.01)."""

    def __init__(self, inputs: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        branches = [nn.Conv2d(inputs, NUM_CLASSES, 3, padding=d, dilation=d) for d in dilations]
        for branch in branches:
            nn.init.normal_(branch.weight, std=0.01)
        self.branches = nn.ModuleList(branches)

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, 19, height, width)."""
        outputs: list[Tensor] = [branch(inputs) for branch in self.branches]
        return reduce(torch.add, outputs)


class DeepLabV2(Segmenter):
    """Both heads at stride 8; `batch_norm` says what of the trunk's batch norm is trained."""

    has_aux = True
    feature_channels = 2048

    def __init__(self, config: DeepLabV2Config) -> None:
        super().__init__(IMAGENET_MEAN, IMAGENET_STD, config.align_corners)
        self.config = config
        self.trunk = ResNet101()
        init_convolutions(self.trunk)
        self.aux_head = DilatedHead(1024, config.dilations)
        self.main_head = DilatedHead(2048, config.dilations)
        for norm in self._batch_norms():
            norm.requires_grad_(config.batch_norm == "trainable")
        load_weights(self, config.weights, resnet101_imagenet, self._load_trunk)
        self.train()  # a new module is in training mode without this call, frozen batch norm too

    def stages(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of layer3 and layer4, both at stride 8."""
        layer3, layer4 = self.trunk(inputs)
        return layer3, layer4

    def heads(self, stages: tuple[Tensor, ...]) -> Logits:
        """Logits at stride 8 (a 512 x 1024 image gives 65 x 129)."""
        layer3, layer4 = stages
        return Logits(self.main_head(layer4), self.aux_head(layer3))

    def trunk_parameters(self) -> list[nn.Parameter]:
        """The convolutions', and batch norm's where it is trained."""
        return [parameter for parameter in self.trunk.parameters() if parameter.requires_grad]

    @property
    def trunk_lr_multiplier(self) -> float:
        """The configured factor (3 comes near the released optimizer)."""
        return self.config.trunk_lr_multiplier

    def train(self, mode: bool = True) -> "DeepLabV2":
        """Training mode, in which `batch_norm: frozen` keeps its running statistics in use and unmoved."""
        super().train(mode)
        if self.config.batch_norm == "frozen":
            for norm in self._batch_norms():
                norm.eval()
        return self

    def _batch_norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.trunk.modules() if isinstance(module, nn.BatchNorm2d)]

    def _load_trunk(self, tensors: dict[str, Tensor], where: str) -> None:
        trunk = {name: tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
        load_by_name(self.trunk, trunk, where)
