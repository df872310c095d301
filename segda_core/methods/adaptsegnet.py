"""AdaptSegNet: adversarial alignment of output maps (Tsai et al., CVPR 2018, arXiv 1802.10349).

A discriminator for each adapted head tells source from target class probabilities; the segmenter is trained
so that its target probabilities are taken for source ones (source is label 0, target label 1):

    L_G = CE(main_s, y) + lambda_aux CE(aux_s, y) + sum over heads k of lambda_k l(D_k(p_k of target), source)
    L_Dk = 1/2 [l(D_k(p_k of source), source) + l(D_k(p_k of target), target)],  l: BCE with logits or LSGAN

Kept: logits are brought to image size before cross-entropy, softmax and D; the adversarial gradient reaches
the segmenter only; D learns from the same predictions, detached, made before the segmenter moves; Adam for D
and the segmenter's poly schedule. Single level adapts the main head alone, with lambda_aux 0; multiplied, not
left out, so that the auxiliary head still has gradients for DDP. Different: source and target pass through
one backward (their gradients add up all the same), cross-entropy is a mean over the whole batch's labelled
pixels, and each trunk tensor is stepped once (the model's trunk_lr_multiplier comes near the release).
"""

from collections.abc import Mapping

from torch import nn

from segda_core.config import AdaptSegNetConfig, TrialConfig
from segda_core.losses import adversarial_loss, class_probabilities, segmentation_losses
from segda_core.methods.base import (
    Batch,
    Prepared,
    SegmenterMethod,
    SegmenterUpdate,
    Tensors,
    Update,
    Used,
    labelled,
    valid_pixels,
)
from segda_core.models.base import Segmenter
from segda_core.models.discriminators import OutputDiscriminator
from segda_core.training.optim import build_schedule, discriminator_optimizer

SOURCE, TARGET = 0.0, 1.0

Discriminators = dict[str, OutputDiscriminator]
"""By the head they look at: `main`, and `aux` where both levels are adapted."""


class GeneratorUpdate(SegmenterUpdate):
    """Losses `source`, `source_aux` and `adversarial_HEAD`; carries each head's detached probabilities."""

    def __init__(self, segmenter: Segmenter, discriminators: Discriminators, config: TrialConfig) -> None:
        super().__init__(segmenter, config)
        assert isinstance(config.method, AdaptSegNetConfig)
        self.gan = config.method.gan
        self.lambda_aux, adversarial_aux, adversarial_main = config.method.weights
        self.lambda_adversarial = {"main": adversarial_main, "aux": adversarial_aux}
        self.discriminators = {head: Used(network) for head, network in discriminators.items()}

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Segment the source, and make the target's output look like it."""
        images, labels = labelled(batch.source)
        assert batch.target is not None
        source, target = self.segmenter.each_at_image_size(images, batch.target.images)
        losses = segmentation_losses("source", source, labels, prepared.counts["source"], self.lambda_aux)
        carried = {}
        for head, discriminator in self.discriminators.items():
            probabilities = class_probabilities(target.heads[head])
            loss = adversarial_loss(discriminator(probabilities), SOURCE, self.gan)
            losses[f"adversarial_{head}"] = self.lambda_adversarial[head] * loss * prepared.share
            carried[f"source_{head}"] = class_probabilities(source.heads[head]).detach()
            carried[f"target_{head}"] = probabilities.detach()
        return losses, carried


class DiscriminatorUpdate(Update):
    """Losses `source` and `target` of one head's discriminator."""

    def __init__(self, head: str, discriminator: OutputDiscriminator, config: TrialConfig) -> None:
        super().__init__(f"discriminator_{head}")
        assert isinstance(config.method, AdaptSegNetConfig)
        self.head = head
        self.gan = config.method.gan
        self.discriminator = discriminator
        self.optimizer = discriminator_optimizer(discriminator, config.method.discriminator)
        self.schedule = build_schedule(self.optimizer, config.schedule, config.steps)

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Tell the domains apart, in the probabilities that the segmenter's update carried here."""
        source = adversarial_loss(self.discriminator(carried[f"source_{self.head}"]), SOURCE, self.gan)
        target = adversarial_loss(self.discriminator(carried[f"target_{self.head}"]), TARGET, self.gan)
        return {"source": source / 2 * prepared.share, "target": target / 2 * prepared.share}, carried


class AdaptSegNet(SegmenterMethod):
    """Unlabelled adaptation of one or both heads."""

    def __init__(self, config: TrialConfig, segmenter: Segmenter) -> None:
        super().__init__(config, segmenter)
        assert isinstance(config.method, AdaptSegNetConfig)
        heads = ("main", "aux") if config.method.levels == "multi" else ("main",)
        self.discriminators = {head: OutputDiscriminator(config.method.channels) for head in heads}

    def networks(self) -> Mapping[str, nn.Module]:
        """The segmenter and its discriminators."""
        own = {f"discriminator_{head}": network for head, network in self.discriminators.items()}
        return {"segmenter": self.segmenter, **own}

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """The source's labelled pixels."""
        return Prepared(counts={"source": valid_pixels(batch.source)})

    def updates(self) -> list[Update]:
        """The segmenter's, then one for each discriminator."""
        return [
            GeneratorUpdate(self.segmenter, self.discriminators, self.config),
            *(DiscriminatorUpdate(head, net, self.config) for head, net in self.discriminators.items()),
        ]
