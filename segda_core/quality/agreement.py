"""How far two predictions of the same cells agree, from their confusion matrix."""

from collections.abc import Collection

from torch import Tensor


def agreement(matrix: Tensor) -> float:
    """Share of cells predicted alike, of a (..., 19, 19) matrix."""
    return float(matrix.diagonal(dim1=-2, dim2=-1).sum() / matrix.sum())


def mean_iou(matrix: Tensor, classes: Collection[int] = range(19)) -> float | None:
    """Mean IoU over those of the classes that either prediction shows; None where there is none."""
    total = matrix.reshape(-1, *matrix.shape[-2:]).double().sum(dim=0)
    hits = total.diagonal()
    union = total.sum(dim=0) + total.sum(dim=1) - hits
    shown = [index for index in classes if union[index] > 0]
    return float((hits[shown] / union[shown]).mean()) if shown else None
