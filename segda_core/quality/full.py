"""The costlier rest, from a checkpoint: FULL_METRICS, on 500 images of each domain unless told otherwise."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from segda_core.classes import CLASSES, COMMON_SHARE, SHOWN_SHARE
from segda_core.config import TrialConfig
from segda_core.data.measured import MeasuredImages
from segda_core.models.base import Segmenter
from segda_core.models.modes import evaluation_mode
from segda_core.process import StopRequest
from segda_core.quality import looks_full, observe
from segda_core.quality.agreement import agreement, mean_iou
from segda_core.quality.catalogue import FULL_METRICS
from segda_core.quality.discriminator import STEPS, discriminator_accuracy
from segda_core.quality.divergence import jensen_shannon, shares
from segda_core.quality.measure import (
    LEAST_IMAGES,
    Values,
    domain_values,
    finite,
    source_looks,
    source_miou,
    target_looks,
    target_values,
    what_on,
)
from segda_core.quality.observe import Tensors
from segda_core.quality.warps import ALL_WARPS

FULL_IMAGES = 500
MOST_CELLS = 500
"""Of a class and domain that mmd_class compares."""


def measure_full(
    segmenter: Segmenter,
    counterpart: Segmenter | None,
    images: MeasuredImages,
    config: TrialConfig,
) -> dict[str, Any]:
    """`metrics`, what they were computed on, and the parts that means of several were taken of."""
    size, device, stop = config.evaluation.size, segmenter.mean.device, StopRequest()
    with evaluation_mode([segmenter] if counterpart is None else [segmenter, counterpart]):
        looks = target_looks(segmenter, counterpart, ALL_WARPS, divergence=True)
        looks += [
            looks_full.predicted_bands,
            looks_full.output_maps,
            looks_full.augmented_agreement(segmenter, size),
        ]
        target = observe.observe(segmenter, images.target, size, looks, stop)
        looks = [*source_looks(segmenter), looks_full.labelled_bands, looks_full.output_maps]
        source = observe.observe(segmenter, images.source, size, looks, stop)
    values = {**target_values(target), **_warped(target), **domain_values(source, target, MOST_CELLS)}
    values["src"] = source_miou(source, config.evaluation.classes)
    rare = rare_classes(source, config.evaluation.classes)
    values["selfiou"] = mean_iou(target["augmented"], [CLASSES.index(name) for name in rare])
    if source:
        values["prior_bands"] = _banded_prior(source, target)
        if min(len(source["maps"]), len(target["maps"])) >= LEAST_IMAGES:
            maps = (source["maps"], target["maps"])
            values["dacc"] = discriminator_accuracy(*maps, device, STEPS)
    counts = {
        name: len(seen["pooled"]) if seen else 0 for name, seen in (("target", target), ("source", source))
    }
    return {
        "metrics": finite(values, FULL_METRICS),
        "on": {**what_on(images, counts, size), "rare_classes": rare, "dacc_steps": STEPS},
        "cons": {name: agreement(matrix) for name, matrix in _by_warp(target, "cons").items()},
    }


def rare_classes(source: Tensors, classes: Sequence[str]) -> list[str]:
    """Declared classes that some source labels show, but fewer than 80 % of them."""
    if not source:
        return []
    shown = (shares(source["label_counts"]) >= SHOWN_SHARE).double().mean(dim=0)
    return [name for name in classes if 0 < shown[CLASSES.index(name)] < COMMON_SHARE]


def _by_warp(target: Tensors, kind: str) -> Tensors:
    return {
        name.removeprefix(f"{kind} "): seen for name, seen in target.items() if name.startswith(f"{kind} ")
    }


def _warped(target: Tensors) -> Values:
    overlaps = [
        overlap for seen in _by_warp(target, "cons").values() if (overlap := mean_iou(seen)) is not None
    ]
    divergences = [float(seen.mean()) for seen in _by_warp(target, "kl").values()]
    return {"cons_miou": sum(overlaps) / len(overlaps), "cons_kl": sum(divergences) / len(divergences)}


def _banded_prior(source: Tensors, target: Tensors) -> float | None:
    """Mean over the bands that hold any source label."""
    counts = source["label_bands"].sum(dim=0)
    predicted: Tensor = target["bands"].double().mean(dim=0)
    labelled = counts.sum(dim=1) > 0
    if not labelled.any():
        return None
    return float(torch.mean(jensen_shannon(shares(counts), predicted)[labelled]))
