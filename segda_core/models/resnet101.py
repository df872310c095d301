"""The ResNet-101 trunk that the DeepLab models share, kept at output stride 8 or 16 by dilation.

Module names and tensor shapes are torchvision's whatever the options, so that its weights fit each of them;
`stride_on` must be what the weights were trained with.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.models.base import Segmenter
from segda_core.models.batch_norm import Twice, norm_relu
from segda_core.models.blocks import init_convolutions
from segda_core.models.weights import load_by_name, load_weights, resnet101_imagenet

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

CAFFE_MEAN = (122.67891434, 116.66876762, 104.00698793)
"""RGB; of the weights that AdaptSegNet's and Seg-Uncertainty's releases start from, with a std of 1."""

OutputStride = Literal[8, 16]
StrideOn = Literal["1x1", "3x3"]
TrunkInput = Literal["rgb_imagenet", "bgr_caffe"]
BatchNormMode = Literal["train_stats_frozen_affine", "frozen", "trainable"]

LAYERS: dict[OutputStride, tuple[tuple[int, Sequence[int]], tuple[int, Sequence[int]]]] = {
    8: ((1, (2,) * 23), (1, (4,) * 3)),
    16: ((2, (1,) * 23), (1, (1, 2, 2))),
}
"""(stride, dilation of each block) of layer3 and layer4. 8: DeepLabV2's; 16: DeepLabV3+'s."""


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the dilation), 1x1 to four times the channels, around a shortcut."""

    def __init__(self, inputs: int, channels: int, stride: int, dilation: int, stride_on: StrideOn) -> None:
        super().__init__()
        outputs = 4 * channels
        strides = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(inputs, channels, 1, strides[0], bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, strides[1], padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, inputs: Twice) -> Twice:
        """(batch, inputs, height, width) to (batch, 4 * channels, height / stride, width / stride)."""
        hidden = norm_relu(self.bn1, self.conv1(inputs.branch)).branch
        hidden = norm_relu(self.bn2, self.conv2(hidden)).branch
        return norm_relu(self.bn3, self.conv3(hidden), self._shortcut(inputs.shortcut))

    def _shortcut(self, inputs: Tensor) -> Tensor:
        if not isinstance(self.downsample, nn.Sequential):
            return inputs
        convolution, norm = self.downsample
        return norm_relu(norm, convolution(inputs), relu=False).branch


class Features(NamedTuple):
    """What the heads read; `layer3` and `layer4` are at the trunk's output stride."""

    layer1: Tensor
    """(batch, 256, height / 4, width / 4)."""
    layer3: Tensor
    """(batch, 1024, ...)."""
    layer4: Tensor
    """(batch, 2048, ...)."""


class ResNet101(nn.Module):
    """The trunk: 42 394 816 convolution weights and 105 344 batch-norm parameters."""

    def __init__(self, output_stride: OutputStride, stride_on: StrideOn, *, ceil_pool: bool) -> None:
        """`ceil_pool`: the max-pool rounds up, as in caffe: 512 x 1024 gives 65 x 129 at stride 8."""
        super().__init__()
        self.ceil_pool = ceil_pool
        (stride3, dilations3), (stride4, dilations4) = LAYERS[output_stride]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, 1, (1,) * 3, stride_on)
        self.layer2 = _layer(256, 128, 2, (1,) * 4, stride_on)
        self.layer3 = _layer(512, 256, stride3, dilations3, stride_on)
        self.layer4 = _layer(1024, 512, stride4, dilations4, stride_on)

    def forward(self, inputs: Tensor) -> Features:
        """Features of a normalised image."""
        stem = norm_relu(self.bn1, self.conv1(inputs)).branch
        pooled = functional.max_pool2d(stem, 3, stride=2, padding=1, ceil_mode=self.ceil_pool)
        layer1 = self.layer1(Twice(pooled, pooled))
        layer3 = self.layer3(self.layer2(layer1))
        layer4 = self.layer4(layer3)
        return Features(layer1.branch, layer3.branch, layer4.branch)


def _layer(
    inputs: int, channels: int, stride: int, dilations: Sequence[int], stride_on: StrideOn
) -> nn.Sequential:
    """One block for each dilation; the first one has the stride."""
    first = Bottleneck(inputs, channels, stride, dilations[0], stride_on)
    rest = (Bottleneck(4 * channels, channels, 1, dilation, stride_on) for dilation in dilations[1:])
    return nn.Sequential(first, *rest)


class ResNet101Segmenter(Segmenter):
    """A segmenter on this trunk. Subclasses build their heads, then call `load`.

    Input is RGB with ImageNet's mean and std, as torchvision's weights expect, or with caffe's mean for those
    of the releases, whose first convolution is turned from BGR to RGB.
    """

    feature_channels = 2048

    def __init__(self, trunk: ResNet101, batch_norm: BatchNormMode, *, align_corners: bool) -> None:
        super().__init__(IMAGENET_MEAN, IMAGENET_STD, align_corners)
        self.batch_norm = batch_norm
        self.trunk = trunk
        init_convolutions(trunk)
        for norm in self._batch_norms():
            norm.requires_grad_(batch_norm == "trainable")

    def load(self, weights: str, trunk_input: TrunkInput = "rgb_imagenet") -> None:
        """Initial weights: `none`, `imagenet`, or a file of the trunk or of the whole segmenter."""
        load_trunk = self._load_trunk if trunk_input == "rgb_imagenet" else self._load_caffe_trunk
        load_weights(self, weights, resnet101_imagenet, load_trunk)
        self.train()  # a new module is in training mode without this call, frozen batch norm too

    def stages(self, inputs: Tensor) -> Features:
        """Features of layer1, layer3 and layer4."""
        features: Features = self.trunk(inputs)
        return features

    def trunk_parameters(self) -> list[nn.Parameter]:
        """The convolutions', and batch norm's where it is trained."""
        return [parameter for parameter in self.trunk.parameters() if parameter.requires_grad]

    def train(self, mode: bool = True) -> Self:
        """Training mode, in which `batch_norm: frozen` keeps its running statistics in use and unmoved."""
        super().train(mode)
        if self.batch_norm == "frozen":
            for norm in self._batch_norms():
                norm.eval()
        return self

    def _batch_norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.trunk.modules() if isinstance(module, nn.BatchNorm2d)]

    def _load_trunk(self, tensors: dict[str, Tensor], where: str) -> None:
        trunk = {name: tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
        load_by_name(self.trunk, trunk, where)

    def _load_caffe_trunk(self, tensors: dict[str, Tensor], where: str) -> None:
        self._load_trunk(tensors, where)
        first = self.trunk.conv1.weight
        with torch.no_grad():
            first.copy_(first.flip(1))
            self.mean.copy_(torch.tensor(CAFFE_MEAN).view_as(self.mean))
            self.std.fill_(1.0)
