"""Label distributions of images and regions: shares, weighting by rarity, similarity, rare classes."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from segda_core.classes import COMMON_SHARE, IGNORE_INDEX, NUM_CLASSES, SHOWN_SHARE

EPSILON = 0.01
"""Added to every class's rarity: what all images show still says a little."""


def one_hot(labels: Tensor) -> Tensor:
    """(batch, 19, height, width) float32; ignored pixels are of no class."""
    hot = functional.one_hot(labels.clamp(max=NUM_CLASSES), NUM_CLASSES + 1)
    return (
        hot[..., :NUM_CLASSES].permute(0, 3, 1, 2).float().masked_fill((labels == IGNORE_INDEX)[:, None], 0)
    )


def pooled(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Means over the cells of a grid of (columns, rows): (batch, cells, channels)."""
    columns, rows = grid
    return functional.adaptive_avg_pool2d(maps, (rows, columns)).flatten(2).transpose(1, 2)


def distribution(known: Tensor) -> tuple[Tensor, Tensor]:
    """(shares that sum to 1, share of pixels known) of class shares of all pixels (..., 19)."""
    total = known.sum(dim=-1, keepdim=True)
    return known / total.clamp(min=1e-6), total.squeeze(-1)


def rarity(shown: Tensor, images: Tensor) -> Tensor:
    """Inverse document frequency (19,): of `images` source images, `shown` show each class."""
    return (images / (1 + shown)).log().clamp(min=0) + EPSILON


def weighted(shares: Tensor, rarities: Tensor) -> Tensor:
    """Shares in logarithmic form times rarity, summing to 1 again."""
    values = (1 + 100 * shares).log() * rarities
    return values / values.sum(dim=-1, keepdim=True).clamp(min=1e-6)


def rare_classes(shares: Tensor, shown: Tensor, images: Tensor) -> Tensor:
    """Whether an image shows a class (bool, like shares) that few source images show."""
    return (shares >= SHOWN_SHARE).logical_and(shown < COMMON_SHARE * images)


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """1 - Jensen-Shannon divergence in bits, (n, m) in [0, 1], of distributions (n, 19) and (m, 19)."""
    one, other = one[:, None], other[None]
    mean = (one + other) / 2
    divergence = entropy(mean) - (entropy(one) + entropy(other)) / 2
    return (1 - divergence).clamp(0, 1)


def entropy(distributions: Tensor) -> Tensor:
    """In bits, over the last dimension."""
    terms: Tensor = torch.special.xlogy(distributions, distributions)
    return -terms.sum(dim=-1) / math.log(2)
