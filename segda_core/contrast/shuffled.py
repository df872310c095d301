"""The control `histograms: shuffled` of regions: each gets the label distribution of a wrong one.

Another image's of the same place would not be wrong enough: sky would still be like sky, and road like road.
Nor would it do to move all images' regions alike: those above would all be said to show what lies below, and
stay alike. So every image's regions are dealt out in an order of its own, another in each step.
"""

import numpy as np
import torch
from torch import Tensor


def region_origins(batch: int, regions: int, rng: np.random.Generator) -> Tensor:
    """(batch * regions,): which region of the global batch, image by image, each gets its distribution from.

    From the image before, so never from its own but in a batch of one, and never from its own place, unless
    there is only one.
    """
    origins = np.empty((batch, regions), dtype=np.int64)
    for image in range(batch):
        cycle = rng.permutation(regions)
        origins[image, cycle] = np.roll(cycle, 1) + regions * ((image - 1) % batch)
    return torch.from_numpy(origins.reshape(-1))
