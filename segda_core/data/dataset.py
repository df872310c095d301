"""Reads images on the machine that trains: micro-batches for training, whole images for validation."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from segda_core.classes import IGNORE_INDEX
from segda_core.config import Stream, TransformConfig, TrialConfig
from segda_core.data.decoded import DecodedImages
from segda_core.data.index import ImageRecord
from segda_core.data.labels import Pixels
from segda_core.data.manifest import TrialImages
from segda_core.data.rare_classes import RareClassOrder, class_counts
from segda_core.data.sampling import EpochOrder, sample_generator, share
from segda_core.data.store import Store, open_store
from segda_core.data.transforms import augment, shows_enough
from segda_core.errors import DataError

logger = logging.getLogger(__name__)

Sample: TypeAlias = tuple[Pixels, Pixels | None]
"""An image (height, width, 3) and its train ids (height, width)."""

Samples: TypeAlias = tuple[Tensor, Tensor | None, tuple[int, ...]]
"""Images (batch, 3, height, width) and train ids (batch, height, width), both uint8: cheap to send; numbers
of the images in their stream."""

VALUES_REDRAWS = 9
"""Of a crop with fewer label values than asked for: ten are drawn in all (Seg-Uncertainty's release)."""

BLANK = (64, 64)
"""(height, width) of the unlabelled picture that stands in for an unreadable validation image."""


@dataclass
class Notes:
    """What was met while reading, by file."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Unreadable image -> what is wrong."""
    resized: dict[str, str] = field(default_factory=dict)
    """Label of another size than its image -> both sizes; pseudo labels may be smaller by intention."""

    uncached: str = ""
    """Why images that are not in the cache stay out of it."""

    def update(self, other: "Notes") -> None:
        """Add another reader's notes."""
        self.skipped.update(other.skipped)
        self.resized.update(other.resized)
        self.uncached = self.uncached or other.uncached


class StreamReader:
    """Samples of one stream, cut from decoded and resized images."""

    def __init__(self, stream: Stream, config: TrialConfig, images: TrialImages, cache: Store) -> None:
        self.stream = stream
        self.seed = config.seed
        self.transform = stream_transform(config, stream)
        self.records = stream_records(images, stream)
        self.order = stream_order(config, self.records, stream)
        self.images = DecodedImages(cache, self.transform.resize)
        self.notes = Notes()
        self._bad: set[int] = set()

    def batch(self, step: int, indices: Sequence[int]) -> Samples:
        """The samples `indices` of a step's global batch."""
        samples = [self.sample(step, index) for index in indices]
        images, labels, numbers = zip(*samples, strict=True)
        if len({image.shape for image in images}) > 1:
            sizes = sorted({image.shape[1::-1] for image in images})
            raise DataError(
                f"images of sizes {sizes} in one batch: set crop in the transforms of {self.stream}"
            )
        planes = np.empty((len(images), 3, *images[0].shape[:2]), dtype=np.uint8)
        for place, image in zip(planes, images, strict=True):
            place[:] = image.transpose(2, 0, 1)  # of a mapped image this reads the crop alone
        stacked = torch.from_numpy(planes)
        if self.stream == "target":
            return stacked, None, numbers
        return stacked, torch.from_numpy(np.stack(labels)), numbers

    def sample(self, step: int, index: int) -> tuple[Pixels, Pixels | None, int]:
        """Sample `index` of a step, augmented, and the image's number; a good one replaces a bad one."""
        for number in self.order.candidates(step, index):
            decoded = self._read(number)
            if decoded is not None:
                return *self._augmented(decoded, step, index), number
        raise DataError(f"none of {len(self.records)} images of stream {self.stream} can be read")

    def _augmented(self, decoded: Sample, step: int, index: int) -> Sample:
        """Augmented anew while too little is left of the label, as often as that may be."""
        redraws = max(self.order.redraws, VALUES_REDRAWS if self.transform.min_values else 0)
        for redraw in range(redraws + 1):
            rng = sample_generator(self.seed, self.stream, step, index, redraw)
            image, label = augment(*decoded, self.transform, rng)
            if label is None:
                break
            if shows_enough(label, self.transform) and self.order.accepts(step, index, label):
                break
        return image, label

    def _read(self, number: int) -> Sample | None:
        """Image and label before augmentation; None for a bad image where those may be skipped."""
        if number in self._bad:
            return None
        record = self.records[number]
        try:
            return self._decoded(record)
        except DataError as error:
            if not record.may_skip:
                raise
            self.notes.skipped[str(record.image)] = str(error)
            self._bad.add(number)
            return None

    def _decoded(self, record: ImageRecord) -> Sample:
        image = self.images.image(record.image)
        if self.stream == "target":
            return image.pixels, None
        height, width = image.pixels.shape[:2]
        label = self.images.label(label_file(record), (width, height))
        if label.file_size != image.file_size and self.stream != "target_pseudo":
            self.notes.resized[str(record.label)] = f"{label.file_size}, image {image.file_size}"
        return image.pixels, label.pixels


@dataclass(frozen=True)
class MicroBatch:
    """What a loader process sends."""

    streams: dict[Stream, Samples]
    indices: tuple[int, ...]
    """Place of each sample in the step's global batch."""
    notes: Notes

    def pin_memory(self) -> Self:
        """The same in memory that a GPU fetches from: what `DataLoader` asks of an item that is no tensor."""
        streams: dict[Stream, Samples] = {
            stream: (images.pin_memory(), None if labels is None else labels.pin_memory(), numbers)
            for stream, (images, labels, numbers) in self.streams.items()
        }
        return replace(self, streams=streams)


class TrainingSet(Dataset[MicroBatch | DataError]):
    """Micro-batches of one rank by (step, micro-batch); a `DataError` is an item, so it keeps its text."""

    def __init__(
        self, config: TrialConfig, images: TrialImages, *, rank: int, ranks: int, cache: Store
    ) -> None:
        self.cache = cache
        self.batch_size = config.batch_size
        self.micro_batches = config.micro_batches
        self.rank, self.ranks = rank, ranks
        self.readers = {stream: StreamReader(stream, config, images, cache) for stream in config.streams}

    def __getitem__(self, key: tuple[int, int]) -> MicroBatch | DataError:
        step, micro_batch = key
        part = self.rank * self.micro_batches + micro_batch  # over all ranks: what a single one has in it
        indices = share(self.batch_size, part, self.ranks * self.micro_batches)
        try:
            streams = {stream: reader.batch(step, indices) for stream, reader in self.readers.items()}
        except DataError as error:
            return error
        notes = Notes(uncached=self.cache.refusal)
        for reader in self.readers.values():
            notes.update(reader.notes)
            reader.notes = Notes()
        return MicroBatch(streams, tuple(indices), notes)


class ValidationSet(Dataset[tuple[Pixels, Pixels, bool]]):
    """The validation images in order: (RGB at file size, train ids at the label's own size, whether skipped).

    An unreadable image of a domain with `on_bad: skip` is logged and has no labelled pixel: it never counts.
    """

    def __init__(self, records: Sequence[ImageRecord]) -> None:
        self.records = records
        self.images = DecodedImages(open_store(), None)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[Pixels, Pixels, bool]:
        record = self.records[index]
        try:
            image = self.images.image(record.image).pixels
            return image, self.images.label(label_file(record)).pixels, False
        except DataError as error:
            if not record.may_skip:
                raise
            logger.warning("skipped in evaluation: %s", error)
        ignored = np.full(BLANK, IGNORE_INDEX, dtype=np.uint8)
        return np.zeros((*BLANK, 3), dtype=np.uint8), ignored, True


def label_file(record: ImageRecord) -> Path:
    """The label of a record that must have one."""
    if record.label is None:
        raise DataError(f"{record.image}: no label")
    return record.label


def stream_records(images: TrialImages, stream: Stream) -> list[ImageRecord]:
    """The images of one stream; `DataError` where there is none."""
    records = {
        "source": images.all_source,
        "target": images.target,
        "target_labelled": images.labelled,
        "target_pseudo": images.pseudo_labelled,
    }[stream]
    if not records:
        raise DataError(f"stream {stream} has no images")
    return records


def stream_order(
    config: TrialConfig, records: Sequence[ImageRecord], stream: Stream
) -> EpochOrder | RareClassOrder:
    """Which image each sample of a stream is."""
    if stream == "source" and config.rare_class_sampling is not None:
        return RareClassOrder(class_counts(records), config.rare_class_sampling, config.seed)
    return EpochOrder(len(records), config.seed, stream, config.batch_size)


def stream_transform(config: TrialConfig, stream: Stream) -> TransformConfig:
    """The transforms of a stream's domain."""
    return config.transforms.source if stream == "source" else config.transforms.target


def sample_names(config: TrialConfig, images: TrialImages, step: int) -> dict[str, list[str]]:
    """Image files of a step's global batch by stream, as planned (before any replacement of bad images)."""
    names: dict[str, list[str]] = {}
    for stream in config.streams:
        records = stream_records(images, stream)
        order = stream_order(config, records, stream)
        numbers = [next(order.candidates(step, index)) for index in range(config.batch_size)]
        names[stream] = [str(records[number].image) for number in numbers]
    return names
