"""AutoAugment's ImageNet policy (Cubuk et al., CVPR 2019) without the operations that move pixels.

Labels are not warped, so Seg-Uncertainty left out every sub-policy that rotates, shears or translates. What
is left is kept as it is: 18 pairs, of which 13 are distinct, and the first equalize of one pair never fires
because its probability is 0. One pair is drawn for each image, and each operation of it by its probability.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from segda_core.config import AutoAugmentPolicy
from segda_core.data.labels import Pixels

DRAWS = 5
"""Uniform numbers for one image: the pair, then for each of its operations whether it acts and its sign."""

STEPS = 9
"""Magnitudes go from step 0 to this one."""


class Operation(NamedTuple):
    """One operation of a pair."""

    probability: float
    name: str
    step: int
    """Of its magnitude; equalize, autocontrast and invert have none."""


Pair = tuple[Operation, Operation]


def _pair(first: tuple[float, str, int], second: tuple[float, str, int]) -> Pair:
    return Operation(*first), Operation(*second)


PAIRS: tuple[Pair, ...] = (
    _pair((0.6, "solarize", 5), (0.6, "autocontrast", 5)),
    _pair((0.8, "equalize", 8), (0.6, "equalize", 3)),
    _pair((0.6, "posterize", 7), (0.6, "posterize", 6)),
    _pair((0.4, "equalize", 7), (0.2, "solarize", 4)),
    _pair((0.6, "solarize", 3), (0.6, "equalize", 7)),
    _pair((0.8, "posterize", 5), (1.0, "equalize", 2)),
    _pair((0.6, "equalize", 8), (0.4, "posterize", 6)),
    _pair((0.0, "equalize", 7), (0.8, "equalize", 8)),
    _pair((0.6, "invert", 4), (1.0, "equalize", 8)),
    _pair((0.6, "color", 4), (1.0, "contrast", 8)),
    _pair((0.8, "color", 8), (0.8, "solarize", 7)),
    _pair((0.4, "sharpness", 7), (0.6, "invert", 8)),
    _pair((0.4, "color", 0), (0.6, "equalize", 3)),
    _pair((0.4, "equalize", 7), (0.2, "solarize", 4)),
    _pair((0.6, "solarize", 5), (0.6, "autocontrast", 5)),
    _pair((0.6, "invert", 4), (1.0, "equalize", 8)),
    _pair((0.6, "color", 4), (1.0, "contrast", 8)),
    _pair((0.8, "equalize", 8), (0.6, "equalize", 3)),
)

POLICIES: dict[AutoAugmentPolicy, tuple[Pair, ...]] = {
    "none": (),
    "with_invert": PAIRS,
    "without_invert": tuple(pair for pair in PAIRS if all(each.name != "invert" for each in pair)),
}

PLAIN: dict[str, Callable[[Image.Image], Image.Image]] = {
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "invert": ImageOps.invert,
}

ENHANCERS: dict[str, Callable[[Image.Image], ImageEnhance._Enhance]] = {
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}


def autoaugment(image: Pixels, policy: AutoAugmentPolicy, uniform: Sequence[float]) -> Pixels:
    """The image after one pair of the policy, chosen and applied by `DRAWS` numbers from [0, 1)."""
    pairs = POLICIES[policy]
    if not pairs:
        return image
    which, *own = uniform
    picture = Image.fromarray(np.ascontiguousarray(image))
    for operation, acts, sign in zip(pairs[int(which * len(pairs))], own[::2], own[1::2], strict=True):
        if acts < operation.probability:
            picture = apply(picture, operation, 1 if sign < 0.5 else -1)
    return np.asarray(picture)


def apply(picture: Image.Image, operation: Operation, sign: int) -> Image.Image:
    """One operation at its magnitude; the sign is that of an enhancement's change."""
    name, share = operation.name, operation.step / STEPS
    if name in ENHANCERS:
        return ENHANCERS[name](picture).enhance(1 + sign * 0.9 * share)
    if name == "posterize":
        return ImageOps.posterize(picture, round(8 - 4 * share))
    if name == "solarize":
        return ImageOps.solarize(picture, math.ceil(256 * (1 - share)))
    return PLAIN[name](picture)
