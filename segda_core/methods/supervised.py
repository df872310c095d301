"""Supervised: cross-entropy on labelled target images alone ("segmentation only").

L = CE(main, y) + lambda_aux CE(aux, y), each a mean over the labelled pixels of the whole batch: by default
the plain cross-entropy, so that the number says what the labels are worth and nothing else.

Kept: Seg-Uncertainty's segmentation-only runs are MRNet's generator on labelled target images, without
discriminators and memory regularisation. With `class_balance` and `hard_percentile: 80` both terms are
MRNet's CE* as well: classes weighted by `ClassBalance`, the hardest fifth of the pixels kept, divided by the
sum of these pixels' weights. As there the percentile is each micro-batch's own. Their lambda_aux is 0.5; the
default is AdaptSegNet's 0.1. Different: class weights follow the global batch.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from segda_core.config import ClassBalanceConfig, SupervisedConfig, TrialConfig
from segda_core.losses import class_pixels, hardest_cross_entropy, segmentation_losses
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
from segda_core.training.class_balance import ClassBalance


class SupervisedUpdate(SegmenterUpdate):
    """Losses `target` and `target_aux`; `balance` is None for plain cross-entropy."""

    def __init__(self, segmenter: Segmenter, balance: ClassBalance | None, config: TrialConfig) -> None:
        super().__init__(segmenter, config)
        assert isinstance(config.method, SupervisedConfig)
        self.method = config.method
        self.balance = balance

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Cross-entropy of both heads on the labelled target."""
        images, labels = labelled(batch.target_labelled)
        logits = self.segmenter.at_image_size(images)
        count, lambda_aux = prepared.counts["target"], self.method.lambda_aux
        if self.balance is None:
            return segmentation_losses("target", logits, labels, count, lambda_aux), {}
        weights, percentile = self.balance.weights, self.method.hard_percentile

        def mean(head: Tensor) -> Tensor:
            return hardest_cross_entropy(head, labels, weights, count, percentile, prepared.share)

        losses = {"target": mean(logits.main)}
        if logits.aux is not None:
            losses["target_aux"] = lambda_aux * mean(logits.aux)
        return losses, {}


class Supervised(SegmenterMethod):
    """What the target labels give without any source."""

    def __init__(self, config: TrialConfig, segmenter: Segmenter) -> None:
        super().__init__(config, segmenter)
        assert isinstance(config.method, SupervisedConfig)
        self.balance: ClassBalance | None = None
        if config.method.class_balance is not None or config.method.hard_percentile:
            alike = ClassBalanceConfig(max_weight=1)
            self.balance = ClassBalance(config.method.class_balance or alike)

    def networks(self) -> Mapping[str, nn.Module]:
        """The segmenter and, where pixels are weighted or left out, the class weights' memory."""
        own = {} if self.balance is None else {"class_balance": self.balance}
        return {"segmenter": self.segmenter, **own}

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """The labelled target's labelled pixels, of each class where these are weighted."""
        if self.balance is None:
            return Prepared(counts={"target": valid_pixels(batch.target_labelled)})
        return Prepared(counts={"target": class_pixels(labelled(batch.target_labelled)[1])})

    def before_step(self, counts: Tensors, step: int) -> None:
        """Class weights of the global batch."""
        if self.balance is not None:
            self.balance.update(counts["target"], self.config.batch_size)

    def updates(self) -> list[Update]:
        """One: the segmenter's."""
        return [SupervisedUpdate(self.segmenter, self.balance, self.config)]
