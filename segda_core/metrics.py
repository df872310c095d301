"""From truth and predictions to scores: confusion matrices, IoU, mIoU and pixel accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segda_core.classes import CLASSES, NUM_CLASSES
from segda_core.data.absent import refuse_absent

COUNTING_LANES = 64
"""Histograms of one image that a GPU counts side by side."""


@dataclass(frozen=True)
class Scores:
    """Scores as fractions; `iou` has all 19 classes, None for those that are not averaged."""

    miou: float
    iou: dict[str, float | None]
    pixel_accuracy: float


def confusion_matrices(truths: Tensor, predictions: Tensor) -> Tensor:
    """(batch, 19, 19) int32 pixel counts of each image, rows truth, columns prediction.

    Both are integer train ids (batch, ...); pixels whose truth is 255 are left out.
    """
    rows = NUM_CLASSES + 1  # the last one takes what is left out
    cells = truths.clamp(max=NUM_CLASSES).short().mul_(NUM_CLASSES).add_(predictions.short())
    count = _histograms if cells.device.type == "cpu" else _histograms_unawaited
    counts = count(cells.flatten(1), rows * NUM_CLASSES)
    return counts.view(-1, rows, NUM_CLASSES)[:, :NUM_CLASSES].int()


def _histograms(values: Tensor, size: int) -> Tensor:
    """(batch, size): how often each value below `size` occurs in (batch, n)."""
    return torch.stack([torch.bincount(row, minlength=size) for row in values])


def _histograms_unawaited(values: Tensor, size: int) -> Tensor:
    """The same without waiting for the device, which `bincount` does to learn the largest value.

    Neighbours, often of one class, count in different places, so that few threads meet at one.
    """
    lane = torch.arange(values.shape[1], device=values.device) % COUNTING_LANES
    counts = torch.zeros(len(values), COUNTING_LANES * size, dtype=torch.int32, device=values.device)
    counts.scatter_add_(1, values + lane * size, counts.new_ones(1).expand_as(values))
    return counts.view(len(values), COUNTING_LANES, size).sum(dim=1)


def scores(matrix: NDArray[np.integer], classes: Sequence[str] = CLASSES) -> Scores:
    """Scores over the declared `classes` of a (19, 19) matrix.

    IoU is M_cc / (row + column - M_cc) over all rows and columns, so c predicted on a class that is not
    declared is a false positive. Pixel accuracy is over the pixels of declared truth. `DataError` where a
    declared class has no truth.
    """
    matrix = matrix.astype(np.int64)
    declared = [CLASSES.index(name) for name in classes]
    rows, columns, hits = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    refuse_absent([CLASSES[index] for index in declared if rows[index] == 0])
    iou: dict[str, float | None] = dict.fromkeys(CLASSES)
    for index in declared:
        iou[CLASSES[index]] = float(hits[index] / (rows[index] + columns[index] - hits[index]))
    values = [value for value in iou.values() if value is not None]
    return Scores(
        miou=sum(values) / len(values),
        iou=iou,
        pixel_accuracy=float(hits[declared].sum() / rows[declared].sum()),
    )
