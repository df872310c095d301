"""MRNet: adversarial alignment with memory regularisation, the first stage of Seg-Uncertainty.

Paper: Zheng & Yang, IJCAI 2020, arXiv 1912.11164, and its released code. The segmenter's two heads predict
together, p = softmax(main + 0.5 aux). On the target each head is pulled towards that prediction ("memory in
vivo": no teacher, no external memory), and a discriminator for each head tells its target probabilities from
the source's fused ones (real: source, label 1; fake: target, label 0; the opposite of AdaptSegNet):

    L_G  = CE*(main_s, y) + lambda_aux CE*(aux_s, y) + sum over heads k of lambda_k L_k + lambda_mr L_mr
    L_k  = sum over D's sizes of 2 mean (D_k(softmax(k_t)) - 1)^2
    L_mr = mean over pixels of KL(p_t || softmax(main_t)) + KL(p_t || softmax(aux_t)), p_t fixed
    L_Dk = sum over D's sizes of mean (D_k(p_s) - 1)^2 + mean D_k(softmax(k_t))^2
                                 + lambda_penalty |d D_k(p_s) / d p_s|^2

CE* weights classes by `ClassBalance` and keeps the hardest fifth of the pixels (`hard_percentile`); like
PyTorch's weighted mean it divides by the sum of the kept pixels' weights.

Kept: all of that, least squares on raw scores whatever else; the penalty on real images alone, one squared
norm for each size; discriminators learn from detached predictions of the pass in which the segmenter learnt,
with Adam and the segmenter's schedule without its warm-up; L_mr begins late. The code's form of L_mr, not the
paper's symmetric KL between the heads. Different: the heads' logits pass one backward for both domains, each
trunk tensor is stepped once (see the model's trunk_lr_multiplier), class weights follow the global batch, and
a source crop that is drawn anew (`min_values`) is also zoomed and mirrored anew; there its place alone.
The percentile is each micro-batch's own, and so is the sum it leaves to divide by: N ranks equal one only
with `hard_percentile: 0`, where the mean is the global batch's.

`student_more_images` is this method again, from its teacher's weights and on more target images, whose labels
nobody looks at: what the notes' student trainer really does, whatever its lists call pseudo labels.

Published recipe: optimizer {name: sgd, lr: 2.0e-4, nesterov: true}, schedule {length: 100000,
warmup_steps: 5000}, batch size 2, crops of 1024 x 512 whose source labels show more than ten values
(transforms.source.min_values: 11), the checkpoint of step 25 000.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from segda_core.config import MemoryRegularisationConfig, TrialConfig
from segda_core.losses import (
    adversarial_loss,
    class_pixels,
    class_probabilities,
    confident_entropy,
    gradient_penalty,
    hardest_cross_entropy,
    kl_divergence,
)
from segda_core.methods.base import (
    Batch,
    Prepared,
    SegmenterMethod,
    SegmenterUpdate,
    Tensors,
    Update,
    Used,
    labelled,
)
from segda_core.models.base import Logits, Segmenter
from segda_core.models.discriminators import MultiScaleDiscriminator
from segda_core.training.class_balance import ClassBalance
from segda_core.training.optim import build_schedule, discriminator_optimizer

REAL, FAKE = 1.0, 0.0

HEADS = ("main", "aux")

Discriminators = dict[str, MultiScaleDiscriminator]
"""By the head they look at."""


class GeneratorUpdate(SegmenterUpdate):
    """Losses `source`, `source_aux`, `adversarial_HEAD`, `memory` and, where weighted, `entropy`.

    Carries the source's fused probabilities (`real`) and each head's of the target (`fake_HEAD`), detached.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        discriminators: Discriminators,
        balance: ClassBalance,
        config: TrialConfig,
    ) -> None:
        super().__init__(segmenter, config)
        assert isinstance(config.method, MemoryRegularisationConfig)
        self.method = config.method
        self.lambda_adversarial = {"main": self.method.lambda_adv_main, "aux": self.method.lambda_adv_aux}
        self.balance = balance
        self.discriminators = {head: Used(network) for head, network in discriminators.items()}

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Segment the source, make the target's output look like it, and keep the heads together."""
        images, labels = labelled(batch.source)
        assert batch.target is not None
        source, target = self.segmenter.each_at_image_size(images, batch.target.images)
        losses = {
            "source": self._cross_entropy(source.heads["main"], labels, prepared),
            "source_aux": self.method.lambda_aux * self._cross_entropy(source.heads["aux"], labels, prepared),
        }
        carried = {"real": class_probabilities(source.fused).detach()}
        for head, discriminator in self.discriminators.items():
            probabilities = class_probabilities(target.heads[head])
            loss = 2 * least_squares(discriminator(probabilities), REAL)
            losses[f"adversarial_{head}"] = self.lambda_adversarial[head] * loss * prepared.share
            carried[f"fake_{head}"] = probabilities.detach()
        return {**losses, **self._regularisation(target, prepared)}, carried

    def _cross_entropy(self, logits: Tensor, labels: Tensor, prepared: Prepared) -> Tensor:
        """This micro-batch's share of the weighted mean over the hardest pixels."""
        weights, pixels = self.balance.weights, prepared.counts["source"]
        percentile = self.method.hard_percentile
        return hardest_cross_entropy(logits, labels, weights, pixels, percentile, prepared.share)

    def _regularisation(self, target: Logits, prepared: Prepared) -> Tensors:
        """`memory` and `entropy`, weighted 0 before their first step."""
        share, started = prepared.share, prepared.tensors["started"]
        memory = target.fused.detach()
        distances = [kl_divergence(memory, target.heads[head]).mean() for head in HEADS]
        losses = {"memory": self.method.lambda_mr * share * started * torch.stack(distances).sum()}
        if self.method.lambda_entropy:
            losses["entropy"] = self.method.lambda_entropy * share * started * confident_entropy(target.fused)
        return losses


class DiscriminatorUpdate(Update):
    """Losses `real`, `fake` and `penalty` of one head's discriminator."""

    def __init__(self, head: str, discriminator: MultiScaleDiscriminator, config: TrialConfig) -> None:
        super().__init__(f"discriminator_{head}")
        assert isinstance(config.method, MemoryRegularisationConfig)
        self.head = head
        self.lambda_penalty = config.method.lambda_penalty
        self.discriminator = discriminator
        self.optimizer = discriminator_optimizer(discriminator, config.method.discriminator)
        without_warmup = config.schedule.model_copy(update={"warmup_steps": 0})
        self.schedule = build_schedule(self.optimizer, without_warmup, config.steps)

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Tell the domains apart, in the probabilities that the segmenter's update carried here."""
        real = carried["real"].detach().requires_grad_()
        scores = self.discriminator(real)
        penalties = [gradient_penalty(each, real) for each in scores]
        losses = {
            "real": least_squares(scores, REAL),
            "fake": least_squares(self.discriminator(carried[f"fake_{self.head}"]), FAKE),
            "penalty": self.lambda_penalty * torch.stack(penalties).sum(),
        }
        return {name: loss * prepared.share for name, loss in losses.items()}, carried


class MRNet(SegmenterMethod):
    """Unlabelled adaptation of both heads."""

    def __init__(self, config: TrialConfig, segmenter: Segmenter) -> None:
        super().__init__(config, segmenter)
        assert isinstance(config.method, MemoryRegularisationConfig)
        self.balance = ClassBalance(config.method.class_balance)
        self.discriminators = {head: MultiScaleDiscriminator(config.method.channels) for head in HEADS}

    def networks(self) -> Mapping[str, nn.Module]:
        """The segmenter, its discriminators, and the class weights' memory."""
        own = {f"discriminator_{head}": network for head, network in self.discriminators.items()}
        return {"segmenter": self.segmenter, **own, "class_balance": self.balance}

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """The source's pixels of each class, and 1 or 0: whether the heads are kept together yet."""
        assert isinstance(self.config.method, MemoryRegularisationConfig)
        labels = labelled(batch.source)[1]
        started = torch.full((), float(step >= self.config.method.mr_start), device=labels.device)
        return Prepared(counts={"source": class_pixels(labels)}, tensors={"started": started})

    def before_step(self, counts: Tensors, step: int) -> None:
        """Class weights of the global batch."""
        self.balance.update(counts["source"], self.config.batch_size)

    def updates(self) -> list[Update]:
        """The segmenter's, then one for each discriminator."""
        return [
            GeneratorUpdate(self.segmenter, self.discriminators, self.balance, self.config),
            *(DiscriminatorUpdate(head, net, self.config) for head, net in self.discriminators.items()),
        ]


def least_squares(scores: list[Tensor], label: float) -> Tensor:
    """Sum over a discriminator's sizes of the mean squared distance from a label."""
    return torch.stack([adversarial_loss(each, label, "lsgan") for each in scores]).sum()
