"""Changes of an image that should not change what is seen in it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from segda_core.data.labels import Pixels
from segda_core.data.transforms import jitter, resize


class Warp(NamedTuple):
    """A change of an RGB image; predictions of mirrored images are mirrored back."""

    name: str
    apply: Callable[[Pixels], Pixels]
    mirrored: bool = False


def scaled(factor: float) -> Warp:
    """The image at another size."""

    def apply(image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        return resize(image, (round(width * factor), round(height * factor)))

    return Warp(f"scale {factor}", apply)


def _mirror(image: Pixels) -> Pixels:
    return image[:, ::-1]


def _recolour(image: Pixels) -> Pixels:
    """Brighter and paler by a fifth, and of less contrast: one corner of a jitter of 0.2."""
    return jitter(image, 1.2, 0.8, 0.8)


def _blur(image: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1)))


MIRROR = Warp("mirror", _mirror, mirrored=True)
FEW_WARPS = (MIRROR, scaled(0.75))
ALL_WARPS = (*FEW_WARPS, scaled(1.25), Warp("colour", _recolour), Warp("blur", _blur))
