"""Scores a segmenter on the whole validation split: one confusion matrix per image, whatever the ranks."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from segda_core.classes import NUM_CLASSES
from segda_core.config import PROTOCOLS, EvaluationConfig, ProtocolName, Size
from segda_core.data.dataset import ValidationSet
from segda_core.data.index import ImageRecord
from segda_core.data.labels import Pixels, label_size
from segda_core.data.loader import start_worker
from segda_core.data.manifest import TrialImages, manifest_hash
from segda_core.distributed import World
from segda_core.errors import DataError
from segda_core.inference.predictor import Predictor, passes
from segda_core.metrics import Scores, confusion_matrices, scores
from segda_core.models.base import Segmenter
from segda_core.models.modes import evaluation_mode
from segda_core.process import Leave, StopRequest, Verdict
from segda_core.transfer import moved

PIXELS_AT_ONCE = {"cpu": 1 << 17, "cuda": 1 << 21}
"""Label pixels of the images of one forward."""

Sample: TypeAlias = tuple[Pixels, Pixels, bool]


@dataclass(frozen=True)
class Evaluation:
    """What rank 0 gets: one matrix for each validation image."""

    matrices: NDArray[np.int32]
    """(images, 19, 19), rows truth, columns prediction."""
    names: list[str]
    skipped: list[str]
    """Files of images that could not be read: their matrices are empty."""

    def scores(self, classes: Sequence[str]) -> Scores:
        """Scores of all images together."""
        return scores(self.matrices.sum(axis=0, dtype=np.int64), classes)

    def save(self, path: Path) -> None:
        """Write confusion.npz."""
        np.savez_compressed(path, matrices=self.matrices, names=np.array(self.names))


def evaluate(
    predictor: Predictor,
    records: Sequence[ImageRecord],
    world: World,
    *,
    workers: int = 0,
    stop: StopRequest | None = None,
) -> Evaluation | None:
    """Rank i of n takes images i, i + n, ...; None on all ranks but 0; collective.

    Raises `Leave` on every rank once `stop` asks any of them.
    """
    stop = stop or StopRequest()
    own = range(world.rank, len(records), world.ranks)
    with evaluation_mode([predictor.segmenter]):  # once for all images
        matrices, skipped = _own_matrices(predictor, Subset(ValidationSet(records), own), workers, stop)
    if (verdict := world.agree(stop.verdict)) != Verdict.CONTINUE:
        raise Leave(verdict)
    gathered = world.interleave(matrices, len(records))
    left_out = world.interleave(skipped, len(records))
    if gathered is None or left_out is None:
        return None
    unread = [str(record.image) for record, bad in zip(records, left_out, strict=True) if bad]
    return Evaluation(gathered, [record.name for record in records], unread)


def _own_matrices(
    predictor: Predictor, samples: Subset[Sample], workers: int, stop: StopRequest
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(images, 19, 19), and which of the images were skipped."""
    device = predictor.segmenter.mean.device
    matrices = [torch.zeros((0, NUM_CLASSES, NUM_CLASSES), dtype=torch.int32, device=device)]
    skipped: list[bool] = []
    loader = DataLoader(
        samples,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # else each iterator draws from the global one
        worker_init_fn=start_worker,
        multiprocessing_context="fork" if workers else None,
    )
    for group in equal_sizes(loader, PIXELS_AT_ONCE[device.type]):
        if stop.verdict != Verdict.CONTINUE:
            break
        matrices.append(_group_matrices(predictor, group))
        skipped += [bad for _, _, bad in group]
    return torch.cat(matrices).cpu().numpy(), np.array(skipped, dtype=np.int32)


def _as_it_is(sample: Any) -> Any:
    return sample


def equal_sizes(samples: Iterable[Sample], most_pixels: int) -> Iterator[list[Sample]]:
    """Runs of consecutive samples of equal image and label sizes, bounded in label pixels."""
    group: list[Sample] = []
    for sample in samples:
        image, label, _ = sample
        full = (len(group) + 1) * label.size > most_pixels
        if group and (full or (image.shape, label.shape) != (group[0][0].shape, group[0][1].shape)):
            yield group
            group = []
        group.append(sample)
    if group:
        yield group


def _group_matrices(predictor: Predictor, group: list[Sample]) -> Tensor:
    """(images, 19, 19), left on the device: nothing waits for a GPU before the last image."""
    height, width = group[0][1].shape
    predictions = predictor.predict([image for image, _, _ in group], (width, height))
    truths = torch.from_numpy(np.stack([label for _, label, _ in group]))
    return confusion_matrices(moved(truths, predictions.device), predictions)


def resolved_protocol(
    name: ProtocolName,
    evaluation: EvaluationConfig,
    predictor: Predictor,
    records: Sequence[ImageRecord],
    data: tuple[str, int],
) -> dict[str, Any]:
    """All that must be equal for two mIoU to be compared; `data` is the profile's name and version.

    Sizes are [width, height]; `label_size` and sizes that follow it are None where labels differ in size.
    """
    protocol = predictor.protocol
    labels = label_sizes(records)
    common = labels[0] if len(labels) == 1 else None
    runs = passes(protocol, evaluation.size, common or evaluation.size)
    sizes = list(dict.fromkeys(run.input_size for run in runs))
    return {
        "name": name,
        "data": data[0],
        "version": data[1],
        "split_manifest": manifest_hash(TrialImages(validation=list(records))),
        "classes": list(evaluation.classes),
        "label_size": None if common is None else list(common),
        "input_sizes": None if protocol.at_label_size and common is None else [list(size) for size in sizes],
        "mirror": protocol.mirror,
        "fusion": protocol.fusion,
        "align_corners": predictor.align_corners,
        "network": protocol.network,
    }


def protocol_digest(protocol: dict[str, Any]) -> str:
    """8 hex digits of a resolved protocol, for the names of further evaluations."""
    canonical = json.dumps(protocol, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def label_sizes(records: Sequence[ImageRecord]) -> list[Size]:
    """Every (width, height) among the labels; one that cannot be read and may be skipped is left out."""
    sizes: dict[Size, None] = {}
    for record in records:
        if record.label is None:
            continue
        try:
            sizes[label_size(record.label)] = None
        except DataError:
            if not record.may_skip:
                raise
    return list(sizes)


def build_predictor(segmenter: Segmenter, name: ProtocolName, evaluation: EvaluationConfig) -> Predictor:
    """The preset protocol `name` at the evaluation's input size, of the network that `evaluation` names."""
    protocol = PROTOCOLS[name].model_copy(update={"network": evaluation.network})
    return Predictor(segmenter, protocol, evaluation.size)
