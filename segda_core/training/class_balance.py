"""Class weights that follow what training batches show (Seg-Uncertainty, Zheng & Yang, arXiv 1912.11164)."""

import torch
from torch import Tensor, nn

from segda_core.classes import NUM_CLASSES
from segda_core.config import ClassBalanceConfig


class ClassBalance(nn.Module):
    """The weight of class c is w_c o_c, from 1 to `max_weight` squared.

    w_c is `max_weight` where the global batch shows less than `small_class_pixels` an image of the class,
    else 1. o_c follows, with `momentum`, `max_weight` in steps without the class and 1 in all others; it is
    state, so a method lists this module among its networks.
    """

    rarity: Tensor
    weights: Tensor

    def __init__(self, config: ClassBalanceConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("rarity", torch.ones(NUM_CLASSES))
        self.register_buffer("weights", torch.ones(NUM_CLASSES), persistent=False)

    def update(self, pixels: Tensor, images: int) -> None:
        """Follow one step: pixels (19,) of each class, and images, in the global batch; under no_grad."""
        config = self.config
        one = torch.ones_like(self.rarity)
        small = pixels < config.small_class_pixels * images
        absent = pixels == 0
        self.rarity.lerp_(one.masked_fill(absent, config.max_weight), 1 - config.momentum)
        self.weights.copy_(self.rarity * one.masked_fill(small, config.max_weight))
