"""Losses the methods are made of, in float32 whatever the precision of the networks."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from segda_core.classes import IGNORE_INDEX, NUM_CLASSES
from segda_core.models.base import Logits


def pixel_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy summed over labelled pixels; logits (batch, 19, h, w), labels and weights (batch, h, w).

    A sum, because the mean needs the number of pixels of the whole batch (`mean_of`). An operation of its own
    adds up: within the loss a GPU does it in one block (H100, 16 images of 640x360: 3 ms for each head).
    """
    losses = weighted_cross_entropy(logits, labels)
    return (losses if weights is None else losses * weights).sum()


def classes_last(logits: Tensor) -> Tensor:
    """Logits (batch, 19, h, w) as (batch, h, w, 19) in float32.

    Of a channels-last network, which ours are, that is a view: softmax along adjacent numbers then takes
    0.65 of the time that it takes across planes, which are a copy first (two CPU cores, 192 x 96).
    """
    return logits.float().permute(0, 2, 3, 1)


def class_probabilities(logits: Tensor) -> Tensor:
    """Softmax over the classes, in float32 and channels-last; both (batch, 19, h, w)."""
    return classes_last(logits).softmax(dim=-1).permute(0, 3, 1, 2)


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


def two_domain_losses(
    source: tuple[Logits, Tensor],
    target: tuple[Logits, Tensor],
    counts: Mapping[str, Tensor],
    lambda_target: float,
    lambda_aux: float,
) -> dict[str, Tensor]:
    """L(source) + lambda_target L(target), each `segmentation_losses` of its (logits, labels)."""
    losses = segmentation_losses("source", *source, counts["source"], lambda_aux)
    for name, loss in segmentation_losses("target", *target, counts["target"], lambda_aux).items():
        losses[name] = lambda_target * loss
    return losses


def adversarial_loss(scores: Tensor, label: float, gan: Literal["bce", "lsgan"]) -> Tensor:
    """Mean distance of a discriminator's raw scores from one label: BCE with logits, or squared error."""
    scores = scores.float()
    wanted = torch.full_like(scores, label)
    if gan == "bce":
        return functional.binary_cross_entropy_with_logits(scores, wanted)
    return functional.mse_loss(scores, wanted)


def class_pixels(labels: Tensor) -> Tensor:
    """Pixels of each train id, (19,) float32, of labels of any shape; without waiting for the device."""
    pixels = labels.new_zeros(256, dtype=torch.float32)
    pixels.scatter_add_(0, labels.flatten(), torch.ones_like(labels.flatten(), dtype=torch.float32))
    return pixels[:NUM_CLASSES]


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Each pixel's cross-entropy times its class's weight, (batch, h, w); 0 where ignored; weights (19,)."""
    flat, truth = classes_last(logits).flatten(0, 2), labels.flatten()
    losses = functional.cross_entropy(
        flat, truth, weight=weights, ignore_index=IGNORE_INDEX, reduction="none"
    )
    return losses.view(labels.shape)


def pixel_weights(labels: Tensor, weights: Tensor) -> Tensor:
    """Each pixel's class's weight, (batch, h, w); 0 where ignored: what a weighted mean divides by."""
    return functional.pad(weights, (0, 1))[labels.clamp(max=NUM_CLASSES)]


def hardest(losses: Tensor, percentile: float) -> Tensor:
    """Where a loss is not below this percentile of all of them; bool, of the losses' shape.

    The same pixels as with linear interpolation between ranks (NumPy's), which lies between two losses or on
    one. The losses of ignored pixels, 0, count: where more than this share is ignored, nothing is left out.
    """
    rank = math.ceil(percentile / 100 * (losses.numel() - 1))
    # as fast as `kthvalue` on CPUs, and on a GPU no single block's work
    highest = losses.detach().flatten().topk(losses.numel() - rank, sorted=False).values
    return losses >= highest.min()


def hardest_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor, pixels: Tensor, percentile: float, share: float
) -> Tensor:
    """This micro-batch's share of the weighted mean cross-entropy over the hardest pixels (MRNet's CE*).

    Like PyTorch's weighted mean it divides by the sum of the kept pixels' weights. `weights` are the classes'
    and `pixels` their pixels in the global batch, (19,); with percentile 0 the mean is the global batch's,
    otherwise the percentile and the sum are the micro-batch's own.
    """
    losses = weighted_cross_entropy(logits, labels, weights)
    if percentile == 0:
        return mean_of(losses.sum(), (weights * pixels).sum())
    kept = hardest(losses, percentile)
    return mean_of((losses * kept).sum(), (pixel_weights(labels, weights) * kept).sum()) * share


def kl_divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(softmax(first) || softmax(second)) of each pixel, (batch, h, w), from logits; gradients to both."""
    log_first, log_second = classes_last(first).log_softmax(dim=-1), classes_last(second).log_softmax(dim=-1)
    return (log_first.exp() * (log_first - log_second)).sum(dim=-1)


def confident_entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the pixels, each weighted by its (fixed) sum of squared probabilities."""
    log_probabilities = classes_last(logits).log_softmax(dim=-1)
    probabilities = log_probabilities.exp()
    confidence = probabilities.detach().square().sum(dim=-1)
    return -(confidence * (probabilities * log_probabilities).sum(dim=-1)).mean()


def gradient_penalty(scores: Tensor, inputs: Tensor) -> Tensor:
    """Squared norm of the gradient of an image's summed scores to the image, averaged over the batch.

    Its own gradient reaches the network behind the scores (double backward, which `torch.compile` refuses).
    """
    (gradient,) = torch.autograd.grad(scores.float().sum(), inputs, create_graph=True)
    return gradient.float().square().flatten(1).sum(dim=1).mean()
