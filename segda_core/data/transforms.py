"""Turns one decoded image and its label into a training sample: the same arguments give the same pixels."""

import numpy as np
from PIL import Image, ImageFilter

from segda_core.classes import IGNORE_INDEX
from segda_core.config import Size, TransformConfig
from segda_core.data.autoaugment import DRAWS, autoaugment
from segda_core.data.labels import Pixels

PADDING = (124, 116, 104)
"""RGB of pixels outside the image: ImageNet's mean, so that normalised they are close to 0."""

GREY = np.array([0.299, 0.587, 0.114])
"""Luma weights of RGB as Pillow takes them (ITU-R BT.601), and torchvision's jitter of Pillow's images."""

BLUR_SIGMA = (0.15, 1.15)
"""Range of the blur's standard deviation in pixels (DACS)."""


def resize(image: Pixels, size: Size) -> Pixels:
    """An image (height, width, 3) at size (width, height), bicubic."""
    if image.shape[1::-1] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def resize_label(label: Pixels, size: Size) -> Pixels:
    """A label (height, width) at size (width, height), nearest."""
    if label.shape[::-1] == size:
        return label
    return np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST))


def augment(
    image: Pixels, label: Pixels | None, config: TransformConfig, rng: np.random.Generator
) -> tuple[Pixels, Pixels | None]:
    """AutoAugment, zoom, crop, mirror, jitter and blur of a resized image (height, width, 3) and its label.

    Always takes the same numbers from the generator: switching one part off leaves the others as they were.
    """
    scale, left, top, flip, *light = rng.random(7)
    blurred, sigma, *policy = rng.random(2 + DRAWS)
    image = autoaugment(image, config.autoaugment, policy)
    low, high = config.scale
    image, label = _zoom(image, label, low + scale * (high - low), config.crop, (left, top))
    if config.mirror and flip < 0.5:
        image, label = image[:, ::-1], None if label is None else label[:, ::-1]
    if config.jitter:
        factors = [1 + config.jitter * (2 * value - 1) for value in light]
        image = jitter(image, *factors)
    if blurred < config.blur:
        image = blur(image, BLUR_SIGMA[0] + float(sigma) * (BLUR_SIGMA[1] - BLUR_SIGMA[0]))
    return image, label


def jitter(image: Pixels, brightness: float, contrast: float, saturation: float) -> Pixels:
    """Factors of brightness, contrast (about the mean grey) and saturation, in this order, rounded once."""
    sums = image.sum(axis=0, dtype=np.uint32).sum(axis=0, dtype=np.uint64)  # ten times as fast as image.mean
    mean = brightness * float(GREY @ (sums / (image.shape[0] * image.shape[1])))
    colour = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * GREY)
    matrix = np.column_stack([colour, np.full(3, mean * (1 - contrast))])
    return np.asarray(Image.fromarray(image).convert("RGB", tuple(matrix.ravel().tolist())))


def blur(image: Pixels, sigma: float) -> Pixels:
    """Gaussian blur by a standard deviation in pixels, as Pillow approximates it by three box filters."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).filter(ImageFilter.GaussianBlur(sigma)))


def shows_enough(label: Pixels, config: TransformConfig) -> bool:
    """Whether a crop's label has as many values as asked for."""
    if not config.min_values:
        return True
    return int(np.count_nonzero(np.bincount(label.ravel()))) >= config.min_values


def _zoom(
    image: Pixels,
    label: Pixels | None,
    factor: float,
    crop: tuple[int, int] | None,
    at: tuple[float, float],
) -> tuple[Pixels, Pixels | None]:
    """Scale and crop in one resampling; `at` in [0, 1) places the crop, padding goes right and below."""
    width, height = image.shape[1], image.shape[0]
    scaled = (max(1, round(width * factor)), max(1, round(height * factor)))
    size = crop or scaled
    seen = (min(size[0], scaled[0]), min(size[1], scaled[1]))
    left, top = (int(place * (full - part + 1)) for place, full, part in zip(at, scaled, seen, strict=True))
    if scaled == (width, height):
        window = (slice(top, top + seen[1]), slice(left, left + seen[0]))
        image, label = image[window], None if label is None else label[window]
    else:
        across, down = width / scaled[0], height / scaled[1]
        box = (left * across, top * down, (left + seen[0]) * across, (top + seen[1]) * down)
        image = np.asarray(Image.fromarray(image).resize(seen, Image.Resampling.BICUBIC, box=box))
        if label is not None:
            label = np.asarray(Image.fromarray(label).resize(seen, Image.Resampling.NEAREST, box=box))
    return _pad(image, size, PADDING), None if label is None else _pad(label, size, IGNORE_INDEX)


def _pad(pixels: Pixels, size: tuple[int, int], value: int | tuple[int, ...]) -> Pixels:
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    padded = np.empty((size[1], size[0], *pixels.shape[2:]), dtype=np.uint8)
    padded[:] = value
    padded[:height, :width] = pixels
    return padded
