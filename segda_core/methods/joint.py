"""Joint: cross-entropy on labelled source and labelled target images together.

L = L(source) + lambda_target L(target), each CE(main, y) + lambda_aux CE(aux, y). No paper: the plainest use
of a few target labels beside many of the source, to compare adaptation with. Each domain's mean is over its
own labelled pixels of the whole batch, so that neither weighs more for having fewer ignored ones; the domains
pass through the network one after the other, so that batch norm normalises each by its own statistics.
"""

from segda_core.config import JointConfig, TrialConfig
from segda_core.losses import segmentation_losses
from segda_core.methods.base import (
    Batch,
    DomainBatch,
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
        source = self._losses("source", batch.source, prepared)
        target = self._losses("target", batch.target_labelled, prepared)
        return {**source, **{name: self.lambda_target * loss for name, loss in target.items()}}, {}

    def _losses(self, name: str, domain: DomainBatch | None, prepared: Prepared) -> Tensors:
        images, labels = labelled(domain)
        logits = self.segmenter.at_image_size(images)
        return segmentation_losses(name, logits, labels, prepared.counts[name], self.lambda_aux)


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
