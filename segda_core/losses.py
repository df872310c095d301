"""Losses the methods are made of, in float32 whatever the precision of the networks."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from segda_core.classes import IGNORE_INDEX
from segda_core.models.base import Logits


def pixel_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy summed over labelled pixels; logits (batch, 19, h, w), labels and weights (batch, h, w).

    A sum, because the mean needs the number of pixels of the whole batch (`mean_of`).
    """
    logits = logits.float()
    if weights is None:
        return functional.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum")
    losses = functional.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="none")
    return (losses * weights).sum()


def mean_of(total: Tensor, count: Tensor) -> Tensor:
    """Total / count, and the total (0) where nothing was counted."""
    return total / count.clamp(min=1)


def segmentation_losses(
    name: str,
    logits: Logits,
    labels: Tensor,
    count: Tensor,
    lambda_aux: float,
    weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """Shares of the mean cross-entropy: `name`, and for an auxiliary head `name_aux`, times lambda.

    Logits at the labels' size; count is the number of pixels of the whole batch that the mean is over. A
    lambda of 0 still gives the auxiliary head its (zero) gradients, which DDP waits for.
    """
    losses = {name: mean_of(pixel_cross_entropy(logits.main, labels, weights), count)}
    if logits.aux is not None:
        aux = mean_of(pixel_cross_entropy(logits.aux, labels, weights), count)
        losses[f"{name}_aux"] = lambda_aux * aux
    return losses


def adversarial_loss(scores: Tensor, label: float, gan: Literal["bce", "lsgan"]) -> Tensor:
    """Mean distance of a discriminator's raw scores from one label: BCE with logits, or squared error."""
    scores = scores.float()
    wanted = torch.full_like(scores, label)
    if gan == "bce":
        return functional.binary_cross_entropy_with_logits(scores, wanted)
    return functional.mse_loss(scores, wanted)
