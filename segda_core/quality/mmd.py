"""Maximum mean discrepancy (Gretton et al., JMLR 2012): how far apart two samples of features are."""

import torch
from torch import Tensor

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Squared bandwidths of the five kernels, relative to the median squared distance."""

LEAST_CELLS = 50
"""Of a class in each domain, for a class-conditional value."""


def mmd2(x: Tensor, y: Tensor) -> float:
    """Unbiased MMD^2 of (n, features) and (m, features), kernels summed; may be slightly negative.

    The median is over the distances of all distinct pairs; where it is 0 the features do not vary.
    """
    both = torch.cat((x, y)).double()
    squared = torch.cdist(both, both).square()
    first, second = torch.triu_indices(len(both), len(both), offset=1)
    median = squared[first, second].median()
    if median == 0:
        return 0.0
    kernel = torch.stack([torch.exp(-squared / (2 * factor * median)) for factor in FACTORS]).sum(dim=0)
    n, m = len(x), len(y)
    within_x = (kernel[:n, :n].sum() - kernel.diagonal()[:n].sum()) / (n * (n - 1))
    within_y = (kernel[n:, n:].sum() - kernel.diagonal()[n:].sum()) / (m * (m - 1))
    return float(within_x + within_y - 2 * kernel[:n, n:].mean())


def class_mmd2(x: Tensor, x_classes: Tensor, y: Tensor, y_classes: Tensor, most: int) -> dict[int, float]:
    """MMD^2 between the first `most` cells of each class that has enough of them in both samples."""
    values = {}
    for index in sorted(set(x_classes.tolist()) & set(y_classes.tolist())):
        own, other = x[x_classes == index][:most], y[y_classes == index][:most]
        if min(len(own), len(other)) >= LEAST_CELLS:
            values[index] = mmd2(own, other)
    return values
