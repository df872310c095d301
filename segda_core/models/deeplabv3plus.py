"""`deeplabv3plus_resnet101`: DeepLabV3+ (Chen et al. 2018) as SegmenTron trains it on Cityscapes.

A torchvision-style ResNet-101 at output stride 16, all batch norm trained; separable atrous pyramid pooling
(dilations 6, 12, 18) with channel dropout; a decoder of two separable convolutions that adds stride-4
features. One head: methods that compare two refuse it. SegmenTron synchronises batch norm over its ranks, as
`sync_batch_norm: true` does. Different: the pyramid's image-level branch has no batch norm (see `Context`).
"""

import torch
from torch import Tensor, nn

from segda_core.classes import NUM_CLASSES
from segda_core.config import DeepLabV3PlusConfig
from segda_core.models.aspp import Context, separable
from segda_core.models.base import Logits
from segda_core.models.blocks import classifier, conv_norm_relu, init_convolutions
from segda_core.models.resnet101 import ResNet101, ResNet101Segmenter

DILATIONS = (6, 12, 18)
CHANNELS = 256
SKIP_CHANNELS = 48
"""What stride-4 features are reduced to before the decoder."""
DROPOUT = 0.1


class DeepLabV3Plus(ResNet101Segmenter):
    """The supervised reference of the Cityscapes listings (78.27 mIoU under protocol p_seg)."""

    has_aux = False

    def __init__(self, config: DeepLabV3PlusConfig) -> None:
        trunk = ResNet101(16, "3x3", ceil_pool=False)
        super().__init__(trunk, "trainable", align_corners=config.align_corners)
        self.context = nn.Sequential(Context(2048, CHANNELS, DILATIONS), nn.Dropout2d(DROPOUT))
        self.skip = conv_norm_relu(256, SKIP_CHANNELS, 1)
        self.decoder = nn.Sequential(
            separable(CHANNELS + SKIP_CHANNELS, CHANNELS), separable(CHANNELS, CHANNELS)
        )
        for part in (self.context, self.skip, self.decoder):
            init_convolutions(part)
        self.main_head = classifier(CHANNELS, NUM_CLASSES)
        self.load(config.weights)

    def heads(self, stages: tuple[Tensor, ...]) -> Logits:
        """Logits at stride 4 (a 512 x 1024 image gives 128 x 256)."""
        layer1, _, layer4 = stages
        skip = self.skip(layer1)
        context = self.upsample(self.context(layer4), skip.shape[-2:])
        return Logits(self.main_head(self.decoder(torch.cat((context, skip), dim=1))), None)
