"""Pseudo labels: learning the target from a parent's predictions, the second stage of Seg-Uncertainty.

Paper: Zheng & Yang, IJCV 2021, arXiv 2003.03773, and its released code. Labels come from files that the
parent in role `labels` wrote; no source image and no true target label is opened. Plain:

    L = CE_w(main, y) + lambda_aux CE_w(aux, y),  each a weighted mean over labelled pixels

With `rectify`, where the heads disagree the label counts less, and disagreeing costs:

    L   = L_main + lambda_aux L_aux
    L_k = mean over pixels of exp(-V_k) w_y CE(k, y) + V_k
    V_main = KL(softmax(aux) || softmax(main)),  V_aux = KL(softmax(main) || softmax(aux))

Kept: gradients of V_k and of exp(-V_k) reach both heads; the rectified means are over all pixels and not
divided by class weights, so an ignored pixel adds no cross-entropy but still its V_k; class weights as in
MRNet; no hard-pixel mining. Different: the release still evaluates its discriminators, at weight 0; here
there are none. Class weights follow the global batch.

Published recipe: `init_from` MRNet's step 25 000, labels without threshold, optimizer {name: sgd, lr: 1.0e-4,
nesterov: true}, schedule {length: 100000, warmup_steps: 5000}, batch size 9, images of 1280 x 640 zoomed by
0.8-1.2, crops of 512 x 256, batch norm trained, dropout 0.2 (the paper's best: 0.1), 25 000 steps.
"""

from collections.abc import Mapping

from torch import nn

from segda_core.config import PseudoLabelMethodConfig, TrialConfig
from segda_core.losses import class_pixels, kl_divergence, mean_of, weighted_cross_entropy
from segda_core.methods.base import (
    Batch,
    Prepared,
    SegmenterMethod,
    SegmenterUpdate,
    Tensors,
    Update,
    labelled,
)
from segda_core.models.base import Segmenter
from segda_core.training.class_balance import ClassBalance


class PseudoLabelUpdate(SegmenterUpdate):
    """Losses `target` and `target_aux`; with `rectify` also `variance` and `variance_aux`."""

    def __init__(self, segmenter: Segmenter, balance: ClassBalance, config: TrialConfig) -> None:
        super().__init__(segmenter, config)
        assert isinstance(config.method, PseudoLabelMethodConfig)
        self.rectify = config.method.rectify
        self.factors = {"main": 1.0, "aux": config.method.lambda_aux}
        self.balance = balance

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Learn the pseudo labels with every head."""
        images, labels = labelled(batch.target_pseudo)
        heads = self.segmenter.at_image_size(images).heads
        losses: Tensors = {}
        for head, logits in heads.items():
            suffix = "" if head == "main" else f"_{head}"
            each = weighted_cross_entropy(logits, labels, self.balance.weights)
            if self.rectify:
                variance = kl_divergence(heads["aux" if head == "main" else "main"], logits)
                losses[f"variance{suffix}"] = self.factors[head] * variance.mean() * prepared.share
                target = ((-variance).exp() * each).mean() * prepared.share
            else:
                target = mean_of(each.sum(), (self.balance.weights * prepared.counts["target"]).sum())
            losses[f"target{suffix}"] = self.factors[head] * target
        return losses, {}


class PseudoLabel(SegmenterMethod):
    """Self-training on labels made beforehand."""

    def __init__(self, config: TrialConfig, segmenter: Segmenter) -> None:
        super().__init__(config, segmenter)
        assert isinstance(config.method, PseudoLabelMethodConfig)
        self.balance = ClassBalance(config.method.class_balance)

    def networks(self) -> Mapping[str, nn.Module]:
        """The segmenter and the class weights' memory."""
        return {"segmenter": self.segmenter, "class_balance": self.balance}

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """The labels' pixels of each class."""
        return Prepared(counts={"target": class_pixels(labelled(batch.target_pseudo)[1])})

    def before_step(self, counts: Tensors, step: int) -> None:
        """Class weights of the global batch."""
        self.balance.update(counts["target"], self.config.batch_size)

    def updates(self) -> list[Update]:
        """One: the segmenter's."""
        return [PseudoLabelUpdate(self.segmenter, self.balance, self.config)]
