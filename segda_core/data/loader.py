"""Feeds the engine: micro-batches of one rank, step after step, read by loader processes."""

import logging
import signal
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from segda_core.config import TrialConfig
from segda_core.data.dataset import MicroBatch, Notes, TrainingSet
from segda_core.data.manifest import TrialImages
from segda_core.data.store import open_store
from segda_core.errors import DataError
from segda_core.methods.base import Batch, DomainBatch
from segda_core.process import SAVE_SIGNALS, signal_at_parents_death

logger = logging.getLogger(__name__)


class Steps(Sampler[tuple[int, int]]):
    """(step, micro-batch) in order from the first step to the trial's last."""

    def __init__(self, first_step: int, steps: int, micro_batches: int) -> None:
        self.first_step, self.steps, self.micro_batches = first_step, steps, micro_batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return product(range(self.first_step, self.steps), range(self.micro_batches))

    def __len__(self) -> int:
        return max(0, self.steps - self.first_step) * self.micro_batches


class Loader:
    """Iterates over steps; each item is this rank's list of micro-batches, uint8 on the CPU.

    Items are the same whatever the number of loader processes, ranks or the first step. `notes` holds what
    was skipped or resized so far.
    """

    def __init__(self, dataset: TrainingSet, steps: Steps, workers: int, *, pinned: bool) -> None:
        """`pinned`: items lie in memory that a GPU fetches from, received by a thread if from processes."""
        self.notes = Notes()
        self._micro_batches = steps.micro_batches
        self._items = DataLoader(
            dataset,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            pin_memory=pinned,
            collate_fn=_unchanged,
            generator=torch.Generator(),  # else each iterator draws from the global one
            worker_init_fn=start_worker,
            multiprocessing_context="fork" if workers else None,  # others import torch again: seconds each
        )

    def __iter__(self) -> Iterator[list[Batch]]:
        micro_batches: list[Batch] = []
        for item in self._received():
            if isinstance(item, DataError):
                raise item
            self._note(item.notes)
            micro_batches.append(_batch(item))
            if len(micro_batches) == self._micro_batches:
                yield micro_batches
                micro_batches = []

    def _received(self) -> Iterator[Any]:
        """Items as they come; a loader process that is killed while it sends one is a `RuntimeError` too."""
        try:
            yield from self._items
        except (EOFError, ConnectionError) as error:
            raise RuntimeError("a loader process exited unexpectedly while it sent a batch") from error

    def _note(self, notes: Notes) -> None:
        """Log each file once, however many loader processes met it."""
        for name in notes.skipped.keys() - self.notes.skipped.keys():
            logger.warning("skipped: %s", notes.skipped[name])
        for name in notes.resized.keys() - self.notes.resized.keys():
            logger.warning("label resized to its image: %s: %s", name, notes.resized[name])
        if notes.uncached and not self.notes.uncached:
            logger.warning("images that are not in the cache are decoded every time: %s", notes.uncached)
        self.notes.update(notes)


def build_loader(
    config: TrialConfig,
    images: TrialImages,
    *,
    rank: int = 0,
    ranks: int = 1,
    first_step: int = 0,
    pinned: bool = False,
) -> Loader:
    """The batches of one rank from `first_step` to the trial's last step; `pinned` for a GPU."""
    dataset = TrainingSet(config, images, rank=rank, ranks=ranks, cache=open_store())
    steps = Steps(first_step, config.steps, config.micro_batches)
    return Loader(dataset, steps, config.workers, pinned=pinned)


def _batch(item: MicroBatch) -> Batch:
    parts = {stream: DomainBatch(*samples) for stream, samples in item.streams.items()}
    return Batch(**parts, indices=item.indices)


def _unchanged(item: object) -> object:
    return item


def start_worker(number: int) -> None:
    """A loader process dies with its rank and ignores the signals torchrun sends to the whole group.

    The rank handles those: it saves, and still needs its loader to end in order.
    """
    signal_at_parents_death(signal.SIGKILL)
    for ignored in SAVE_SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
