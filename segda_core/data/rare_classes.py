"""Rare-class sampling (DAFormer, Hoyer et al., CVPR 2022): first a class is drawn, then an image of it.

P(c) is proportional to exp((1 - f_c) / T), where f_c is the share of c among all images' labelled pixels.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segda_core.classes import NUM_CLASSES
from segda_core.config import RareClassConfig
from segda_core.data.decoded import domain_folder
from segda_core.data.index import ImageRecord
from segda_core.data.labels import Counts, Pixels, label_counts
from segda_core.data.sampling import rare_class_generator
from segda_core.data.store import ENDING, open_store
from segda_core.errors import DataError

logger = logging.getLogger(__name__)


class RareClassOrder:
    """Which source image every sample is, and whether its crop shows enough of the class drawn."""

    redraws = 10
    """Of a crop that shows too little; the last is taken as it is."""

    def __init__(self, counts: Counts, config: RareClassConfig, seed: int) -> None:
        """`counts`: pixels of each class in each image. What no image shows enough of is never drawn."""
        self.seed = seed
        enough = counts > config.min_pixels
        self.classes = np.flatnonzero(enough.any(axis=0))
        if not len(self.classes):
            raise DataError(
                f"rare_class_sampling: no image shows more than min_pixels {config.min_pixels} of any class"
            )
        self.images = {int(number): np.flatnonzero(enough[:, number]) for number in self.classes}
        self.probabilities = class_probabilities(counts, config.temperature, self.classes)
        self.enough_in_crop = config.crop_share * config.min_pixels

    def candidates(self, step: int, index: int) -> Iterator[int]:
        """Image numbers for one sample, best first; the others show the same class."""
        number, rng = self._drawn_class(step, index)
        return (int(image) for image in rng.permutation(self.images[number]))

    def accepts(self, step: int, index: int, label: Pixels) -> bool:
        """Whether a crop's label shows enough of the class that was drawn for this sample."""
        if not self.enough_in_crop:
            return True
        number, _ = self._drawn_class(step, index)
        return bool(np.count_nonzero(label == number) > self.enough_in_crop)

    def _drawn_class(self, step: int, index: int) -> tuple[int, np.random.Generator]:
        rng = rare_class_generator(self.seed, step, index)
        return int(rng.choice(self.classes, p=self.probabilities)), rng


def class_probabilities(
    counts: Counts, temperature: float, classes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """P(c) of the classes that may be drawn, from pixels of each class in each image."""
    pixels = counts.sum(axis=0)
    scores = -pixels[classes] / pixels.sum() / temperature
    weights = np.exp(scores - scores.max())
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


def class_counts(records: Sequence[ImageRecord]) -> Counts:
    """(images, 19) pixels of each class at the labels' file size; read once and kept in the image cache.

    A label that cannot be read and may be skipped counts nothing.
    """
    store, name = open_store(), _name_in_cache(records)
    if (found := store.read(name)) is not None:
        return np.frombuffer(found[1].tobytes(), np.int64).reshape(-1, NUM_CLASSES)
    logger.info("counting the classes of %d labels", len(records))
    counts = np.stack([_counts(record) for record in records])
    store.write(name, {"source": str(_label(records[0]))}, counts.view(np.uint8))
    if store.refusal:
        logger.warning("class counts are not kept for the next trial: %s", store.refusal)
    return counts


def _counts(record: ImageRecord) -> Counts:
    try:
        return label_counts(_label(record))[1]
    except DataError:
        if not record.may_skip:
            raise
        return np.zeros(NUM_CLASSES, dtype=np.int64)


def _name_in_cache(records: Sequence[ImageRecord]) -> str:
    """By the labels' paths, sizes and times of change."""
    digest = hashlib.sha256()
    for record in records:
        found = _label(record).stat()
        digest.update(f"{_label(record)}\t{found.st_size}\t{found.st_mtime_ns}\n".encode())
    return f"{domain_folder(_label(records[0]))}/class counts/{digest.hexdigest()[:32]}{ENDING}"


def _label(record: ImageRecord) -> Path:
    assert record.label is not None
    return record.label.absolute()
