"""The averaged network: it makes keys, and says what target images show. Nothing here has a gradient."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.classes import IGNORE_INDEX, NUM_CLASSES
from segda_core.config import ContrastiveConfig
from segda_core.contrast.heads import Heads
from segda_core.contrast.histograms import distribution, one_hot, pooled
from segda_core.methods.base import DomainBatch, Tensors
from segda_core.models.base import Logits, Segmenter
from segda_core.training import ema

SURE = 0.5
"""Probability from which on a target pixel takes part in its image's distribution."""

LEAST_LABELLED = {"image": 0.0, "region": 0.5}
"""Share of labelled pixels from which on an image or region is used: of an image any one is enough."""

LEAST_SURE = {"image": 0.6, "region": 0.6}
"""Share of sure pixels from which on one without labels is used."""

ROUNDING = 1e-5
"""By how much a share may be below its least: it is a sum over pixels and classes in float32."""


@dataclass(frozen=True)
class Cells:
    """Feature cells of one class each."""

    labels: Tensor
    """(batch, h, w) train ids, 255 ignored."""
    sums: Tensor
    """(19, dimension): of their keys, by class."""


class Averaged(nn.Module):
    """Running averages of segmenter and projections."""

    def __init__(self, segmenter: Segmenter, heads: Heads) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.heads = heads

    def follow(self, segmenter: Segmenter, heads: Heads, alpha: float) -> None:
        """One step's."""
        ema.follow(self.segmenter, segmenter, alpha)
        ema.follow(self.heads, heads, alpha)

    def look(self, batch: DomainBatch, options: ContrastiveConfig) -> tuple[Tensors, Cells | None]:
        """(by image: `numbers`, and of `image` and `region` the `_keys`, `_shares`, `_usable`; cells)."""
        logits, features = self.segmenter.with_features(batch.images)
        embeddings = self.heads(features)
        maps = known_classes(batch, logits)
        labelled = batch.labels is not None
        least = LEAST_LABELLED if labelled else LEAST_SURE
        shares, known = distribution(maps.mean(dim=(2, 3)))
        seen = {
            "numbers": torch.tensor(batch.numbers).to(features.device, non_blocking=True),
            "image_shares": shares,
            "image_usable": enough(known, least["image"]),
        }
        if options.image is not None:
            seen["image_keys"] = embeddings["image"]
        if options.region is not None:
            shares, known = distribution(pooled(maps, options.region.grid))
            seen["region_shares"] = shares
            seen["region_usable"] = enough(known, least["region"])
            seen["region_keys"] = embeddings["region"]
        if options.prototype is None:
            return seen, None
        share = options.prototype.min_share if labelled else options.prototype.confidence
        return seen, cells_of(embeddings["prototype"], class_shares(batch, logits), share)


def enough(known: Tensor, least: float) -> Tensor:
    """1 where that share of pixels is known, and more than none; else 0."""
    return ((known > 0) & (known >= least - ROUNDING)).float()


def class_shares(batch: DomainBatch, logits: Logits) -> Tensor:
    """(batch, 19, h, w): what each pixel shows, by its label or, where there are none, the network."""
    return logits.main.softmax(dim=1) if batch.labels is None else one_hot(batch.labels)


def known_classes(batch: DomainBatch, logits: Logits) -> Tensor:
    """The same, 0 where a pixel is not labelled or the network not sure."""
    shares = class_shares(batch, logits)
    return shares if batch.labels is not None else shares * (shares.amax(dim=1, keepdim=True) >= SURE)


def cells_of(keys: Tensor, shares: Tensor, least: float) -> Cells:
    """Cells of keys (batch, dimension, h, w) whose pixels are of one class, by at least that share."""
    height, width = keys.shape[2:]
    most, labels = functional.adaptive_avg_pool2d(shares, (height, width)).max(dim=1)
    labels = labels.masked_fill(most < least, IGNORE_INDEX)
    by_class = functional.one_hot(labels.clamp(max=NUM_CLASSES), NUM_CLASSES + 1)[..., :NUM_CLASSES]
    with torch.autocast(keys.device.type, enabled=False):  # bf16 would round the sum of all cells
        sums = torch.einsum("bhwc,bdhw->cd", by_class.to(keys), keys)
    return Cells(labels, sums)
