"""Joint: cross-entropy on labelled source and labelled target images together.

L = L(source) + lambda_target L(target), each CE(main, y) + lambda_aux CE(aux, y). No paper: the plainest use
of a few target labels beside many of the source, to compare adaptation with. Each domain's mean is over its
own labelled pixels of the whole batch, so that neither weighs more for having fewer ignored ones; the domains
pass through the network apart, so that batch norm normalises each by its own statistics.
"""

from segda_core.config import JointConfig, TrialConfig
from segda_core.losses import two_domain_losses
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


class JointUpdate(SegmenterUpdate):
    """Losses `source`, `source_aux`, `target` and `target_aux`."""

    def __init__(self, segmenter: Segmenter, config: TrialConfig) -> None:
        super().__init__(segmenter, config)
        assert isinstance(config.method, JointConfig)
        self.lambda_aux = config.method.lambda_aux
        self.lambda_target = config.method.lambda_target

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Cross-entropy of both heads on both domains."""
        images, labels = labelled(batch.source)
        target_images, target_labels = labelled(batch.target_labelled)
        source, target = self.segmenter.each_at_image_size(images, target_images)
        losses = two_domain_losses(
            (source, labels), (target, target_labels), prepared.counts, self.lambda_target, self.lambda_aux
        )
        return losses, {}


class Joint(SegmenterMethod):
    """What the target labels give beside the source."""

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """Each domain's labelled pixels."""
        return Prepared(
            counts={"source": valid_pixels(batch.source), "target": valid_pixels(batch.target_labelled)}
        )

    def updates(self) -> list[Update]:
        """One: the segmenter's."""
        return [JointUpdate(self.segmenter, self.config)]
