"""What every trial measures at its end: METRICS of its segmenter on the images of `data.measured`.

One process measures alone, in evaluation mode and float32; every draw has a seed of its own, so training
cannot notice. Nothing here opens a label of the target.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from segda_core.classes import CLASSES
from segda_core.config import Size, TrialConfig
from segda_core.data.measured import MeasuredImages, list_hash
from segda_core.metrics import scores
from segda_core.models.base import Segmenter
from segda_core.models.modes import evaluation_mode
from segda_core.process import StopRequest
from segda_core.quality import observe
from segda_core.quality.agreement import agreement
from segda_core.quality.catalogue import METRICS
from segda_core.quality.divergence import entropy, jensen_shannon, normalised_entropy, shares
from segda_core.quality.domain_distance import proxy_a_distance
from segda_core.quality.mmd import class_mmd2, mmd2
from segda_core.quality.observe import Tensors
from segda_core.quality.warps import FEW_WARPS, Warp

SEED = 0
"""Of the splits of pad and the order of cells."""

MOST_CELLS = 256
"""Of a class and domain that mmd_class compares."""

LEAST_IMAGES = 5
"""Of each domain for pad: below it 20 % of them is no image."""

Values = dict[str, float | None]


def measure(
    segmenter: Segmenter,
    counterpart: Segmenter | None,
    images: MeasuredImages,
    config: TrialConfig,
    stop: StopRequest | None = None,
) -> dict[str, Any]:
    """`metrics`, and `on`: what they were computed on. Raises `Leave` once `stop` asks.

    The counterpart is the student's teacher, or the student of a teacher that is evaluated.
    """
    stop = stop or StopRequest()
    size = config.evaluation.size
    with evaluation_mode([segmenter] if counterpart is None else [segmenter, counterpart]):
        target = observe.observe(segmenter, images.target, size, target_looks(segmenter, counterpart), stop)
        source = observe.observe(segmenter, images.source, size, source_looks(segmenter), stop)
    values = {**target_values(target), **domain_values(source, target)}
    values["src"] = source_miou(source, config.evaluation.classes)
    counts = {
        name: len(seen["pooled"]) if seen else 0 for name, seen in (("target", target), ("source", source))
    }
    return {"metrics": finite(values, METRICS), "on": what_on(images, counts, size)}


def finite(values: Values, names: Iterable[str]) -> Values:
    """The named metrics; null where there is none, or where predictions overflowed and left no number."""
    found = {name: values.get(name) for name in names}
    return {
        name: value if value is not None and math.isfinite(value) else None for name, value in found.items()
    }


def target_looks(
    segmenter: Segmenter,
    counterpart: Segmenter | None,
    warps: Sequence[Warp] = FEW_WARPS,
    *,
    divergence: bool = False,
) -> list[observe.Look]:
    """What is noted of target images; of warped ones perhaps the divergence too."""
    return [
        observe.distribution,
        observe.pooled_features,
        observe.class_cells(segmenter),
        observe.head_agreement,
        *(observe.warp_agreement(segmenter, warp, divergence) for warp in warps),
        *([] if counterpart is None else [observe.network_agreement("counterpart", counterpart)]),
    ]


def source_looks(segmenter: Segmenter) -> list[observe.Look]:
    """What is noted of source images."""
    return [observe.pooled_features, observe.class_cells(segmenter), observe.truth_agreement(segmenter)]


def target_values(target: Tensors) -> Values:
    """The metrics that need target images alone."""
    mean_entropy = target["entropy"].mean()
    of_mean = entropy(target["probabilities"].mean(dim=0))
    warps = [matrix for name, matrix in target.items() if name.startswith("cons ")]
    values: Values = {
        "ent": normalised_entropy(mean_entropy),
        "mi": normalised_entropy(of_mean - mean_entropy),
        "cons": sum(agreement(matrix) for matrix in warps) / len(warps),
    }
    if "heads" in target:
        values["head"] = float(target["head_kl"].mean())
        values["head_disagreement"] = 1 - agreement(target["heads"])
        values["head_certainty"] = float(target["head_certainty"].mean())
    if "counterpart" in target:
        values["ema"] = agreement(target["counterpart"])
    return values


def domain_values(source: Tensors, target: Tensors, most_cells: int = MOST_CELLS) -> Values:
    """The metrics that compare the domains; empty without source images."""
    if not source:
        return {}
    labels, predicted = shares(source["label_counts"].sum(dim=0)), target["probabilities"].mean(dim=0)
    by_class = class_mmd2(
        source["cells"], source["cell_classes"], target["cells"], target["cell_classes"], most_cells
    )
    pooled: tuple[Tensor, Tensor] = (source["pooled"], target["pooled"])
    enough = min(len(sample) for sample in pooled) >= LEAST_IMAGES
    return {
        "prior": float(jensen_shannon(labels, predicted)),
        "mmd": mmd2(*pooled) if enough else None,
        "mmd_class": sum(by_class.values()) / len(by_class) if by_class else None,
        "pad": proxy_a_distance(*pooled, SEED) if enough else None,
    }


def source_miou(source: Tensors, classes: Sequence[str]) -> float | None:
    """Mean IoU over the declared classes that the source labels show; None where there is none."""
    if not source:
        return None
    matrix = source["truth"].sum(dim=0)
    shown = [name for name in classes if matrix[CLASSES.index(name)].sum() > 0]
    return scores(matrix.numpy(), shown).miou if shown else None


def what_on(images: MeasuredImages, counts: dict[str, int], size: Size) -> dict[str, Any]:
    """Counts of images read, lists, size and seed: only trials with equal ones may be compared."""
    return {
        "target_images": counts["target"],
        "target_list": list_hash(images.target),
        "source_images": counts["source"],
        "source_list": list_hash(images.source),
        "source_held_out": images.held_out,
        "size": list(size),
        "seed": SEED,
    }
