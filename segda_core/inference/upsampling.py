"""Scores of a network brought to label size, a band of rows at a time: never all 19 channels of an image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from segda_core.models.bilinear import interpolation_weights
from segda_core.transfer import moved

ROWS_AT_ONCE = {"cpu": 8, "cuda": 256}
"""Label rows of a band: at 2048 columns 1.2 MB of scores, which a CPU's cache holds. On a GPU, where many
small bands would wait for Python, 40 MB."""


class Taps(NamedTuple):
    """Of each output row (or column) the two inputs it lies between, and their weights."""

    first: Tensor
    second: Tensor
    first_weight: Tensor
    second_weight: Tensor

    def at(self, outputs: slice) -> "Taps":
        """Those of some outputs."""
        return Taps(*(part[outputs] for part in self))

    def mirrored(self) -> "Taps":
        """Those of the outputs from the last to the first."""
        return Taps(*(part.flip(0) for part in self))

    def to(self, device: torch.device) -> "Taps":
        """The same on another device."""
        return Taps(*(moved(part, device) for part in self))


@lru_cache(maxsize=64)
def taps(inputs: int, outputs: int, align_corners: bool) -> Taps:
    """What `interpolate` does along one axis."""
    weights = interpolation_weights(inputs, outputs, align_corners, torch.device("cpu"))
    first = weights.gt(0).int().argmax(dim=1)
    second = (first + 1).clamp_(max=inputs - 1)
    both = weights.gather(1, torch.stack([first, second], dim=1))
    return Taps(first, second, both[:, 0].contiguous(), torch.where(first < second, both[:, 1], 0.0))


@dataclass(frozen=True)
class Layer:
    """The scores of one pass and the way to label size."""

    scores: Tensor
    """(batch, 19, height, width) contiguous, at the network's own size."""
    rows: Taps
    """On the CPU, as `columns`."""
    columns: Taps

    @classmethod
    def at_size(
        cls,
        scores: Tensor,
        size: tuple[int, int],
        *,
        padding: tuple[int, int],
        align_corners: bool,
        mirror: bool,
    ) -> "Layer":
        """To (height, width) `size`, once `padding` (columns right, rows below) is cut away and mirrored."""
        height, width = size
        right, below = padding
        rows = taps(scores.shape[2], height + below, align_corners).at(slice(height))
        columns = taps(scores.shape[3], width + right, align_corners).at(slice(width))
        return cls(scores.contiguous(), rows, columns.mirrored() if mirror else columns)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the label."""
        return len(self.rows.first), len(self.columns.first)

    def band(self, outputs: slice) -> Tensor:
        """(batch, 19, rows, width) of some rows at label size."""
        rows, device = self.rows.at(outputs), self.scores.device
        top, bottom = int(rows.first[0]), int(rows.second[-1])
        across, down = self.columns.to(device), rows.to(device)
        source = self.scores[:, :, top : bottom + 1]
        size = (*source.shape[:3], len(across.first))
        left, right = (source.gather(3, index.expand(size)) for index in (across.first, across.second))
        blended = _blend(left, across.first_weight, right, across.second_weight)
        upper, lower = (blended.index_select(2, index - top) for index in (down.first, down.second))
        return _blend(upper, down.first_weight[:, None], lower, down.second_weight[:, None])


def _blend(first: Tensor, first_weight: Tensor, second: Tensor, second_weight: Tensor) -> Tensor:
    """With the roundings of `interpolate` on CPUs, so that the results are equal bit for bit."""
    return torch.addcmul(second.mul_(second_weight), first, first_weight)


def summed_bands(layers: Sequence[Layer]) -> Iterator[Tensor]:
    """Scores (batch, 19, rows, width) at label size, summed over the layers, band after band."""
    height = layers[0].size[0]
    step = ROWS_AT_ONCE[layers[0].scores.device.type]
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        total = layers[0].band(rows)
        for further in layers[1:]:
            total += further.band(rows)
        yield total


def classes_of(scores: Tensor) -> Tensor:
    """Train ids (uint8) of the highest of (batch, 19, ...) scores, of equal ones the lowest."""
    ids = torch.arange(scores.shape[1], device=scores.device)
    return lowest_of_highest(scores.detach().transpose(0, 1), ids.view(-1, *[1] * (scores.dim() - 1)))


def lowest_of_highest(scores: Tensor, ids: Tensor) -> Tensor:
    """The lowest of the `ids` (uint8) whose scores are the highest along dim 0; the last one beside NaN.

    `max` and `argmax` take several times as long on CPUs, where they look at one value after the other.
    """
    highest = torch.eq(scores, scores.amax(dim=0), out=torch.empty_like(scores))
    last = ids.amax(dim=0)
    return (last - highest.mul_((last - ids).to(scores.dtype)).amax(dim=0)).to(torch.uint8)
