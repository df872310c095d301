"""Source only: cross-entropy on labelled source images, where every adaptation starts from.

L = CE(main, y) + lambda_aux CE(aux, y). Paper: the supervised part of AdaptSegNet (Tsai et al., CVPR 2018),
its baseline "without adaptation". Kept: both heads, means over labelled pixels, lambda_aux 0.1.
Different: the mean is over the pixels of the whole batch, so that it does not depend on how ranks share it.
"""

from segda_core.config import SourceOnlyConfig, TrialConfig
from segda_core.losses import segmentation_losses
from segda_core.methods.base import (
    Batch,
    Prepared,
    SegmenterMethod,
    SegmenterUpdate,
    Tensors,
    Update,
    labelled,
    valid_pixels,
)
from segda_core.models.base import Segmenter


class SourceOnlyUpdate(SegmenterUpdate):
    """Losses `source` and `source_aux`."""

    def __init__(self, segmenter: Segmenter, config: TrialConfig) -> None:
        super().__init__(segmenter, config)
        assert isinstance(config.method, SourceOnlyConfig)
        self.lambda_aux = config.method.lambda_aux

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Cross-entropy of both heads on the source."""
        images, labels = labelled(batch.source)
        logits = self.segmenter.at_image_size(images)
        return segmentation_losses("source", logits, labels, prepared.counts["source"], self.lambda_aux), {}


class SourceOnly(SegmenterMethod):
    """The lower anchor of every comparison: target images are never opened."""

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """The source's labelled pixels."""
        return Prepared(counts={"source": valid_pixels(batch.source)})

    def updates(self) -> list[Update]:
        """One: the segmenter's."""
        return [SourceOnlyUpdate(self.segmenter, self.config)]
