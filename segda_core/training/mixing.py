"""ClassMix (Olsson et al., WACV 2021): pixels of some label values are pasted from one image onto another.

Nothing here draws: uniform numbers come from outside. Shapes are fixed and inputs are left as they are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from segda_core.classes import IGNORE_INDEX, NUM_CLASSES

LABEL_VALUES = NUM_CLASSES + 1
"""The train ids, and after them the ignored value, which takes part like any other."""


@dataclass(frozen=True)
class Sample:
    """Images with labels and the weight of each pixel's loss."""

    images: Tensor
    """(batch, 3, height, width) RGB in 0-255, uint8 or float."""
    labels: Tensor
    """(batch, height, width) int64."""
    weights: Tensor
    """(batch, height, width) float."""


def values_present(labels: Tensor) -> Tensor:
    """(batch, `LABEL_VALUES`) bool: which label values each image shows."""
    present = torch.zeros(len(labels), LABEL_VALUES, dtype=torch.bool, device=labels.device)
    return present.scatter_(1, _positions(labels).flatten(1), True)


def choose_half(present: Tensor, uniform: Tensor) -> Tensor:
    """ceil(n / 2) of the n values present, those with the smallest uniform numbers; all (batch, values)."""
    ranks = uniform.masked_fill(~present, 2.0).argsort(dim=1).argsort(dim=1)
    half = (present.sum(dim=1, keepdim=True) + 1) // 2
    return ranks < half


def pixels_of(chosen: Tensor, labels: Tensor) -> Tensor:
    """(batch, height, width) bool: the pixels whose label value was chosen (batch, values)."""
    return chosen.gather(1, _positions(labels).flatten(1)).view(labels.shape)


def paste(pasted: Tensor, source: Sample, target: Sample) -> Sample:
    """The source where `pasted` (batch, height, width), the target elsewhere: pixels, labels and weights."""
    return Sample(
        torch.where(pasted[:, None], source.images, target.images),
        torch.where(pasted, source.labels, target.labels),
        torch.where(pasted, source.weights, target.weights),
    )


def patches_kept(uniform: Tensor, ratio: float, size: tuple[int, int] | torch.Size) -> Tensor:
    """Masked image consistency's mask (batch, 1, height, width) bool from one number a patch.

    A patch is hidden with probability `ratio`; patches at the borders may be of another size.
    """
    kept = (uniform[:, None] > ratio).float()
    return functional.interpolate(kept, size=size, mode="nearest") > 0


def without_margins(weights: Tensor, top: int, bottom: int) -> Tensor:
    """Weights (batch, height, width) with 0 in the first and last rows."""
    rows = torch.arange(weights.shape[1], device=weights.device)
    inside = (rows >= top) & (rows < weights.shape[1] - bottom)
    return weights * inside[:, None]


def _positions(labels: Tensor) -> Tensor:
    """Each label's place among the `LABEL_VALUES`."""
    return labels.where(labels != IGNORE_INDEX, torch.full_like(labels, NUM_CLASSES))
