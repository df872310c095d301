"""Which image every sample of every step is: a function of seed, stream and position, and of nothing else."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from segda_core.config import Stream
from segda_core.data.labels import Pixels

Indices: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

STREAM_NUMBERS: dict[Stream, int] = {"source": 0, "target": 1, "target_labelled": 2, "target_pseudo": 3}

ORDER, AUGMENTATION, METHOD, RARE_CLASS, CONTROL = 1, 2, 3, 4, 5
"""First words of the families of seeds, so that no epoch's order shares a generator with a sample."""


@lru_cache(maxsize=16)
def epoch_order(count: int, seed: int, stream: Stream, epoch: int) -> Indices:
    """The permutation of `count` images that is this epoch."""
    order = np.random.default_rng([ORDER, seed, STREAM_NUMBERS[stream], epoch]).permutation(count)
    order.setflags(write=False)
    return order


def candidates(count: int, seed: int, stream: Stream, position: int) -> Iterator[int]:
    """Image numbers for one position of the endless sequence of epochs, best first.

    The first is the sample; the others, in the order of its epoch, replace it should it prove unreadable.
    """
    epoch, offset = divmod(position, count)
    order = epoch_order(count, seed, stream, epoch)
    return (int(order[(offset + ahead) % count]) for ahead in range(count))


class EpochOrder:
    """Every image once an epoch, each epoch in an order of its own."""

    redraws = 0
    """Of a crop that is not accepted."""

    def __init__(self, count: int, seed: int, stream: Stream, batch_size: int) -> None:
        self.count, self.seed, self.stream, self.batch_size = count, seed, stream, batch_size

    def candidates(self, step: int, index: int) -> Iterator[int]:
        """Image numbers for sample `index` of the global batch of a step, best first."""
        return candidates(self.count, self.seed, self.stream, step * self.batch_size + index)

    def accepts(self, step: int, index: int, label: Pixels) -> bool:
        """Whether a crop may be trained on."""
        return True


def sample_generator(
    seed: int, stream: Stream, step: int, index: int, redraw: int = 0
) -> np.random.Generator:
    """The random numbers that augment sample `index` of the global batch of a step, drawn anew or not."""
    again = [redraw] if redraw else []
    return np.random.default_rng([AUGMENTATION, seed, STREAM_NUMBERS[stream], step, index, *again])


def rare_class_generator(seed: int, step: int, index: int) -> np.random.Generator:
    """The random numbers that choose class and image of source sample `index` of a step."""
    return np.random.default_rng([RARE_CLASS, seed, step, index])


def method_generator(seed: int, step: int, index: int) -> np.random.Generator:
    """The random numbers a method draws for sample `index` of the global batch of a step."""
    return np.random.default_rng([METHOD, seed, step, index])


def control_generator(seed: int, step: int, number: int) -> np.random.Generator:
    """The random numbers by which a control is made of what a step's global batch shows, one by one."""
    return np.random.default_rng([CONTROL, seed, step, number])


def share(batch_size: int, part: int, parts: int) -> range:
    """Indices of the global batch that belong to one of `parts` equal parts."""
    return range(part, batch_size, parts)
