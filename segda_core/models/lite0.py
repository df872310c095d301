"""`lite0`: EfficientNet-Lite0 (Tan & Le 2019, the mobile variant) under a DeepLabV3+-style decoder.

The encoder is timm's, at output stride 16. From DeepLabV3+ (Chen et al. 2018): dilated separable branches and
an image-level one, fused with stride-4 features by two separable convolutions. Unlike there, the image-level
branch has no batch norm, so that a micro-batch of one image can be trained on, and an auxiliary head reads
the encoder's 112-channel features.
"""

import torch
from torch import Tensor, nn

from segda_core.classes import NUM_CLASSES
from segda_core.config import Lite0Config
from segda_core.models.aspp import Context, separable
from segda_core.models.base import Logits, Segmenter
from segda_core.models.blocks import classifier, conv_norm_relu, init_convolutions
from segda_core.models.weights import lite0_imagenet, load_in_order, load_weights

DILATIONS = (3, 6, 12)
"""Of the separable branches: half DeepLabV3+'s, for crops of some 24 x 16 cells at stride 16."""
ENCODER_CHANNELS = (24, 112, 320)
"""Of the features used, at strides 4, 16 and 16."""
SKIP_CHANNELS = 48
"""What stride-4 features are reduced to before the decoder."""


class Lite0(Segmenter):
    """Main head at stride 4; the auxiliary head's logits are brought from stride 16 to the same size."""

    has_aux = True
    feature_channels = ENCODER_CHANNELS[-1]

    def __init__(self, config: Lite0Config) -> None:
        super().__init__(mean=(127.0,) * 3, std=(128.0,) * 3, align_corners=config.align_corners)
        import timm  # takes two seconds, which trials of other models need not spend

        self.encoder = timm.create_model(
            "tf_efficientnet_lite0", features_only=True, output_stride=16, out_indices=(1, 3, 4)
        )
        for stage in self.encoder.get_submodule("blocks").children():
            for block in stage.children():
                vars(block)["repeated"] = True
        skip, middle, deep = ENCODER_CHANNELS
        channels = config.decoder_channels
        self.context = Context(deep, channels, DILATIONS)
        self.skip = conv_norm_relu(skip, SKIP_CHANNELS, 1)
        self.decoder = nn.Sequential(
            separable(channels + SKIP_CHANNELS, channels),
            separable(channels, channels),
        )
        self.aux_features = conv_norm_relu(middle, channels, 1)
        for part in (self.context, self.skip, self.decoder, self.aux_features):
            init_convolutions(part)
        self.main_head = classifier(channels, NUM_CLASSES)
        self.aux_head = classifier(channels, NUM_CLASSES)
        load_weights(self, config.weights, lite0_imagenet, self._load_encoder)

    def stages(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of the encoder at strides 4, 16 and 16."""
        return tuple(self.encoder(inputs))

    def heads(self, stages: tuple[Tensor, ...]) -> Logits:
        """Logits at stride 4."""
        skip, middle, deep = stages
        size = skip.shape[-2:]
        context = self.upsample(self.context(deep), size)
        main = self.main_head(self.decoder(torch.cat((context, self.skip(skip)), dim=1)))
        return Logits(main, self.upsample(self.aux_head(self.aux_features(middle)), size))

    def trunk_parameters(self) -> list[nn.Parameter]:
        """The encoder's."""
        return list(self.encoder.parameters())

    def _load_encoder(self, tensors: dict[str, Tensor], where: str) -> None:
        load_in_order(self.encoder, tensors, where)
