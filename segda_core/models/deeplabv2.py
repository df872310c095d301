"""`deeplabv2_resnet101`: the two-head DeepLabV2 of AdaptSegNet (Tsai et al., CVPR 2018).

A ResNet-101 with a max-pool that rounds up, kept at stride 8 by dilation 2 in layer3 and 4 in layer4. Each
head sums dilated 3x3 convolutions straight to the classes: the auxiliary one on layer3, the main one on
layer4. Different: RGB with ImageNet's mean and std, and the stride on the 3x3 convolutions, as torchvision's
weights expect (`stride_on: 1x1` and `trunk_input: bgr_caffe` are the release's, for its caffe weights); all
four dilations act, where the release returns after the second (`dilations: [6, 12]`).
"""

from functools import reduce
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.classes import NUM_CLASSES
from segda_core.config import DeepLabV2Config
from segda_core.models.base import Logits
from segda_core.models.blocks import as_written
from segda_core.models.resnet101 import ResNet101, ResNet101Segmenter

TAPS = tuple(product((-1, 0, 1), repeat=2))
"""(down, right) of a 3x3 convolution's weights, from its centre."""


class DilatedHead(nn.Module):
    """Sum of 3x3 convolutions to the classes, one for each dilation; weights start from N(0, 0.01).

    19 outputs leave most of a GPU's matrix units idle. Where it may run kernels of its own, in bf16, a head
    there is one product of every pixel with all taps of all dilations, whose results are then shifted and
    added up.
    """

    fused = False
    offsets: Tensor

    def __init__(self, inputs: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        branches = [nn.Conv2d(inputs, NUM_CLASSES, 3, padding=d, dilation=d) for d in dilations]
        for branch in branches:
            nn.init.normal_(branch.weight, std=0.01)
        self.branches = nn.ModuleList(branches)
        offsets = [(d * down, d * right) for d in dilations for down, right in TAPS]
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int32), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, 19, height, width)."""
        if self.fused and inputs.is_cuda and torch.is_autocast_enabled("cuda") and not as_written():
            return self.by_taps(inputs)
        outputs: list[Tensor] = [branch(inputs) for branch in self.branches]
        return reduce(torch.add, outputs)

    def by_taps(self, inputs: Tensor) -> Tensor:
        """What `forward` returns, in float32, but for rounding."""
        from segda_core.models.fused_taps import ShiftedSum  # needs Triton

        branches = [module for module in self.branches if isinstance(module, nn.Conv2d)]
        taps = torch.cat([branch.weight.permute(2, 3, 0, 1).flatten(0, 2) for branch in branches])
        taps = functional.pad(taps, (0, 0, 0, -len(taps) % 8))  # of which matrix units take eight at a time
        products = functional.linear(inputs.permute(0, 2, 3, 1), taps)
        biases = torch.stack([branch.bias for branch in branches if branch.bias is not None])
        total: Tensor = ShiftedSum.apply(products, self.offsets, NUM_CLASSES) + biases.sum(dim=0)
        return total.permute(0, 3, 1, 2)


class DeepLabV2(ResNet101Segmenter):
    """Both heads at stride 8; `batch_norm` says what of the trunk's batch norm is trained."""

    has_aux = True

    def __init__(self, config: DeepLabV2Config) -> None:
        trunk = ResNet101(8, config.stride_on, ceil_pool=True)
        super().__init__(trunk, config.batch_norm, align_corners=config.align_corners)
        self.trunk_lr_multiplier = config.trunk_lr_multiplier
        self.aux_head = DilatedHead(1024, config.dilations)
        self.main_head = DilatedHead(2048, config.dilations)
        self.load(config.weights, config.trunk_input)

    def heads(self, stages: tuple[Tensor, ...]) -> Logits:
        """Logits at stride 8 (a 512 x 1024 image gives 65 x 129)."""
        _, layer3, layer4 = stages
        return Logits(self.main_head(layer4), self.aux_head(layer3))
