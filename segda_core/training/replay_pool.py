"""CycleGAN's pool of generated images (Shrivastava et al., CVPR 2017): discriminators see old ones again."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Draw(NamedTuple):
    """What chance decides for one generated image, once the pool is full."""

    again: bool
    """Show an old image in its place, and keep it instead."""
    slot: int
    """Which one."""


class ReplayPool(nn.Module):
    """The last images of the global batches of all steps: equal on all ranks, and part of the checkpoint."""

    images: Tensor
    shown: Tensor

    def __init__(self, size: int, batch_size: int, image_size: tuple[int, int]) -> None:
        """`image_size` is (width, height)."""
        super().__init__()
        width, height = image_size
        self.register_buffer("images", torch.zeros(size, 3, height, width))
        self.register_buffer("shown", torch.zeros(batch_size, 3, height, width), persistent=False)

    def show(self, made: Tensor, earlier: int, draws: Sequence[Draw]) -> None:
        """Fill `shown` with what discriminators see in this step: each image made in it, or an old one.

        Until the pool is full every image is kept and shown; `earlier` is how many were made before.
        """
        for place, (image, draw) in enumerate(zip(made, draws, strict=True)):
            if earlier + place < len(self.images):
                self.images[earlier + place] = image
                self.shown[place] = image
            elif draw.again:
                self.shown[place] = self.images[draw.slot]
                self.images[draw.slot] = image
            else:
                self.shown[place] = image
