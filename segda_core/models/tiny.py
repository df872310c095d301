"""`tiny`: a two-head network of 0.2 M parameters that learns street scenes in minutes on two CPU cores.

Plain 3x3 convolutions throughout: at these widths they run faster on CPUs than depthwise ones and learn as
much. The trunk goes down to stride 8 and widens its view by dilation; the decoder returns to stride 4.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.classes import NUM_CLASSES
from segda_core.config import TinyConfig
from segda_core.models.base import Logits, Segmenter
from segda_core.models.blocks import Norm, classifier, conv_norm_relu, init_convolutions, norm_layer


class Residual(nn.Module):
    """relu(x + norm(conv(x))), the convolution dilated."""

    repeated = True

    def __init__(self, channels: int, dilation: int, norm: Norm) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = norm_layer(channels, norm)

    def forward(self, inputs: Tensor) -> Tensor:
        """Same shape as the input."""
        return functional.relu(inputs + self.norm(self.conv(inputs)))


class Tiny(Segmenter):
    """Width, 2 and 4 times width at strides 2, 4 and 8; auxiliary head in the middle of the last."""

    has_aux = True

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(mean=(127.0,) * 3, std=(64.0,) * 3, align_corners=config.align_corners)
        width, norm = config.width, config.norm
        fine, coarse = 2 * width, 4 * width
        self.feature_channels = coarse
        self.stem = nn.Sequential(
            conv_norm_relu(3, width, stride=2, norm=norm),
            conv_norm_relu(width, fine, stride=2, norm=norm),
            Residual(fine, 1, norm),
        )
        self.middle = nn.Sequential(
            conv_norm_relu(fine, coarse, stride=2, norm=norm),
            Residual(coarse, 1, norm),
            Residual(coarse, 2, norm),
        )
        self.deep = nn.Sequential(Residual(coarse, 4, norm), Residual(coarse, 8, norm))
        self.skip = conv_norm_relu(fine, fine, 1, norm=norm)
        self.reduce = conv_norm_relu(coarse, fine, 1, norm=norm)
        self.fuse = conv_norm_relu(2 * fine, fine, norm=norm)
        init_convolutions(self)
        self.main_head = classifier(fine, NUM_CLASSES)
        self.aux_head = classifier(coarse, NUM_CLASSES)

    def stages(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Features at stride 4, and twice at stride 8."""
        fine = self.stem(inputs)
        middle = self.middle(fine)
        return fine, middle, self.deep(middle)

    def heads(self, stages: tuple[Tensor, ...]) -> Logits:
        """Logits at stride 4."""
        fine, middle, deep = stages
        size = fine.shape[-2:]
        context = self.upsample(self.reduce(deep), size)
        main = self.main_head(self.fuse(torch.cat((self.skip(fine), context), dim=1)))
        return Logits(main, self.upsample(self.aux_head(middle), size))

    def trunk_parameters(self) -> list[nn.Parameter]:
        """The three stages'."""
        return [p for stage in (self.stem, self.middle, self.deep) for p in stage.parameters()]
