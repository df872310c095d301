"""Runs a segmenter over images and keeps, of each, the few numbers that metrics are made of.

All is taken at the main head's own resolution, whose places are called cells. Nothing here knows a metric.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segda_core.classes import NUM_CLASSES
from segda_core.config import Size
from segda_core.data.decoded import DecodedImages
from segda_core.data.index import ImageRecord
from segda_core.data.labels import Pixels
from segda_core.data.store import open_store
from segda_core.errors import DataError
from segda_core.inference.evaluation import PIXELS_AT_ONCE
from segda_core.inference.upsampling import classes_of
from segda_core.metrics import confusion_matrices
from segda_core.models.base import Segmenter
from segda_core.process import Leave, StopRequest, Verdict
from segda_core.quality.divergence import entropy, kullback_leibler
from segda_core.quality.warps import Warp

CELLS_PER_CLASS = 8
"""Feature cells kept of each image and predicted class: rare classes are not drowned by road."""

Tensors = dict[str, Tensor]
"""What was noted, by name; the first axis counts images (or cells)."""

logger = logging.getLogger(__name__)


class Sample(NamedTuple):
    """One image at input size and, where it may be opened, its label at the label's own size."""

    image: Pixels
    label: Pixels | None


class View(NamedTuple):
    """A batch as the network sees it."""

    samples: Sequence[Sample]
    main: Tensor
    """Logits (batch, 19, height, width)."""
    aux: Tensor | None
    predicted: Tensor
    """Train ids (batch, height, width) of the main head."""
    features: Tensor


Look = Callable[[View], Tensors]


def observe(
    segmenter: Segmenter, records: Sequence[ImageRecord], size: Size, looks: Sequence[Look], stop: StopRequest
) -> Tensors:
    """What the looks note of all images, in order; raises `Leave` between batches once `stop` asks."""
    noted: dict[str, list[Tensor]] = defaultdict(list)
    count = max(1, PIXELS_AT_ONCE[segmenter.mean.device.type] // (size[0] * size[1]))
    for samples in batched(read(records, size), count):
        if stop.verdict != Verdict.CONTINUE:
            raise Leave(stop.verdict)
        logits, features = segmenter.with_features(as_tensor([s.image for s in samples], segmenter))
        view = View(samples, logits.main, logits.aux, classes_of(logits.main), features)
        for look in looks:
            for name, tensor in look(view).items():
                noted[name].append(tensor.cpu())
    if records and not noted:
        raise DataError(f"none of {len(records)} images that quality is measured on can be read")
    return {name: torch.cat(tensors) for name, tensors in noted.items()}


def read(records: Iterable[ImageRecord], size: Size) -> Iterator[Sample]:
    """Images brought to a size, with their labels where records name them; skipped where that is allowed."""
    images = DecodedImages(open_store(), size)
    for record in records:
        try:
            image = images.image(record.image).pixels
            label = None if record.label is None else images.label(record.label).pixels
        except DataError as error:
            if not record.may_skip:
                raise
            logger.warning("skipped in measuring quality: %s", error)
            continue
        yield Sample(image, label)


def batched(samples: Iterable[Sample], count: int) -> Iterator[list[Sample]]:
    """Runs of `count` samples, the last perhaps shorter."""
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


def as_tensor(images: Sequence[Pixels], segmenter: Segmenter) -> Tensor:
    """Equally large images (batch, 3, height, width) uint8 where the segmenter is."""
    return torch.from_numpy(np.stack(images)).to(segmenter.mean.device).permute(0, 3, 1, 2)


def cells_last(logits: Tensor) -> Tensor:
    """(batch, 19, height, width) to (batch, cells, 19)."""
    return logits.flatten(2).movedim(1, 2)


def distribution(view: View) -> Tensors:
    """Mean prediction (batch, 19) and mean entropy (batch) of each image, in float64."""
    probabilities = cells_last(view.main).softmax(dim=-1)
    mean = probabilities.mean(dim=1, dtype=torch.float64)
    return {"probabilities": mean, "entropy": entropy(probabilities).mean(dim=1, dtype=torch.float64)}


def pooled_features(view: View) -> Tensors:
    """Global average of each image's features."""
    return {"pooled": view.features.mean(dim=(2, 3))}


def class_cells(segmenter: Segmenter) -> Look:
    """A look at single cells: at most `CELLS_PER_CLASS` of each image and class, in one fixed order."""

    def look(view: View) -> Tensors:
        size = view.features.shape[-2:]
        order = torch.from_numpy(np.random.default_rng(0).permutation(size.numel())).to(view.main.device)
        predicted = classes_of(segmenter.upsample(view.main, size)).long().flatten(1)[:, order]
        place = functional.one_hot(predicted, NUM_CLASSES).cumsum(dim=1).gather(2, predicted[..., None])
        kept = place[..., 0] <= CELLS_PER_CLASS
        return {"cells": cells_last(view.features)[:, order][kept], "cell_classes": predicted[kept]}

    return look


def head_agreement(view: View) -> Tensors:
    """Divergence of the two heads, KL(main || aux); nothing where the model has one head."""
    if view.aux is None:
        return {}
    divergence = kullback_leibler(cells_last(view.main), cells_last(view.aux)).double()
    return {
        "head_kl": divergence.mean(dim=1),
        "head_certainty": torch.exp(-divergence).mean(dim=1),
        "heads": confusion_matrices(view.predicted, classes_of(view.aux)),
    }


def network_agreement(name: str, other: Segmenter) -> Look:
    """A look at how far another network (a teacher) predicts the same."""

    def look(view: View) -> Tensors:
        logits = other(as_tensor([sample.image for sample in view.samples], other)).main
        return {name: confusion_matrices(view.predicted, classes_of(logits))}

    return look


def warp_agreement(segmenter: Segmenter, warp: Warp, divergence: bool = False) -> Look:
    """A look at how far warped images are predicted the same: `cons NAME`, perhaps symmetric KL `kl NAME`."""

    def look(view: View) -> Tensors:
        warped = as_tensor([warp.apply(sample.image) for sample in view.samples], segmenter)
        logits = segmenter(warped).main
        logits = segmenter.upsample(logits.flip(-1) if warp.mirrored else logits, view.main.shape[-2:])
        noted = {f"cons {warp.name}": confusion_matrices(view.predicted, classes_of(logits))}
        if divergence:
            main, other = cells_last(view.main), cells_last(logits)
            both = (kullback_leibler(main, other) + kullback_leibler(other, main)) / 2
            noted[f"kl {warp.name}"] = both.mean(dim=1, dtype=torch.float64)
        return noted

    return look


def truth_agreement(segmenter: Segmenter) -> Look:
    """A look at labelled images: confusion with the truth at label size, and the labels' class counts."""

    def look(view: View) -> Tensors:
        found = []
        for sample, logits in zip(view.samples, view.main, strict=True):
            assert sample.label is not None
            truth = torch.tensor(sample.label).to(logits.device)
            prediction = classes_of(segmenter.upsample(logits[None], truth.shape))
            found.append(confusion_matrices(truth[None], prediction))
        truths = torch.cat(found)
        return {"truth": truths, "label_counts": truths.sum(dim=2)}

    return look
