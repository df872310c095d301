"""Supervised: cross-entropy on labelled target images alone ("segmentation only").

L = CE(main, y) + lambda_aux CE(aux, y). Kept of Seg-Uncertainty's segmentation-only runs: two heads,
labelled target only, no discriminator. Different: plain cross-entropy instead of MRNet's class weights and
hard-pixel mining, so that the number says what the labels are worth and nothing else, and AdaptSegNet's
lambda_aux (0.1; there 0.5). The mean is over the labelled pixels of the whole batch.
"""

from segda_core.config import SupervisedConfig, TrialConfig
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


class SupervisedUpdate(SegmenterUpdate):
    """Losses `target` and `target_aux`."""

    def __init__(self, segmenter: Segmenter, config: TrialConfig) -> None:
        super().__init__(segmenter, config)
        assert isinstance(config.method, SupervisedConfig)
        self.lambda_aux = config.method.lambda_aux

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Cross-entropy of both heads on the labelled target."""
        images, labels = labelled(batch.target_labelled)
        logits = self.segmenter.at_image_size(images)
        return segmentation_losses("target", logits, labels, prepared.counts["target"], self.lambda_aux), {}


class Supervised(SegmenterMethod):
    """What the target labels give without any source."""

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """The labelled target's labelled pixels."""
        return Prepared(counts={"target": valid_pixels(batch.target_labelled)})

    def updates(self) -> list[Update]:
        """One: the segmenter's."""
        return [SupervisedUpdate(self.segmenter, self.config)]
