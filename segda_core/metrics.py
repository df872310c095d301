"""From truth and predictions to scores: confusion matrices, IoU, mIoU and pixel accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segda_core.classes import CLASSES, IGNORE_INDEX, NUM_CLASSES
from segda_core.errors import DataError


@dataclass(frozen=True)
class Scores:
    """Scores as fractions; `iou` has all 19 classes, None for those that are not averaged."""

    miou: float
    iou: dict[str, float | None]
    pixel_accuracy: float


def confusion_matrix(truth: Tensor, prediction: Tensor) -> Tensor:
    """(19, 19) int32 pixel counts of one image, rows truth, columns prediction.

    Both are integer train ids of one shape; pixels whose truth is 255 are left out.
    """
    labelled = truth != IGNORE_INDEX
    cells = truth[labelled].long() * NUM_CLASSES + prediction[labelled].long()
    counts = torch.bincount(cells, minlength=NUM_CLASSES * NUM_CLASSES)
    return counts.view(NUM_CLASSES, NUM_CLASSES).int()


def scores(matrix: NDArray[np.integer], classes: Sequence[str] = CLASSES) -> Scores:
    """Scores over the declared `classes` of a (19, 19) matrix.

    IoU is M_cc / (row + column - M_cc) over all rows and columns, so c predicted on a class that is not
    declared is a false positive. Pixel accuracy is over the pixels of declared truth. `DataError` where a
    declared class has no truth.
    """
    matrix = matrix.astype(np.int64)
    declared = [CLASSES.index(name) for name in classes]
    rows, columns, hits = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    if absent := [CLASSES[index] for index in declared if rows[index] == 0]:
        raise DataError(
            f"evaluation.classes declares {', '.join(absent)}, of which the validation images hold no pixel "
            "(`segda data check` lists every class's share)"
        )
    iou: dict[str, float | None] = dict.fromkeys(CLASSES)
    for index in declared:
        iou[CLASSES[index]] = float(hits[index] / (rows[index] + columns[index] - hits[index]))
    values = [value for value in iou.values() if value is not None]
    return Scores(
        miou=sum(values) / len(values),
        iou=iou,
        pixel_accuracy=float(hits[declared].sum() / rows[declared].sum()),
    )
