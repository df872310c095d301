"""Class weights, which several methods may use."""

from typing import Annotated

from pydantic import Field

from segda_core.config.base import Beta, Frozen


class ClassBalanceConfig(Frozen):
    """Class weights that follow what the batches show (Seg-Uncertainty): at most `max_weight` squared."""

    max_weight: Annotated[float, Field(ge=1)] = 7.0
    """Of a class that is small or absent in the batch; 1 switches class weights off."""
    small_class_pixels: Annotated[int, Field(ge=0)] = 64 * 64
    """A class with fewer pixels an image is small. Published for crops of 1024 x 512, where it is 0.8 %."""
    momentum: Beta = 0.9
    """Of the running weight of classes that are often absent."""
