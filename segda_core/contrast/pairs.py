"""Which keys an anchor is drawn to and which it is pushed from, and the loss that does it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segda_core.config import PairLevelConfig

ALIKE, UNLIKE = 0.95, 0.3
"""Quantiles of an anchor's similarities: positives are above the first, negatives below the second.

Where few keys are alike the first may be 0: disjoint keys, and those of similarity 0, never qualify.
"""


@dataclass(frozen=True)
class Pairs:
    """For each anchor and key; nothing here has a gradient."""

    weights: Tensor
    """(anchors, keys) that sum to 1 over an anchor's positives, 0 elsewhere."""
    negatives: Tensor
    """(anchors, keys) bool."""
    counted: Tensor
    """(anchors,) bool: whether it has a positive and enough negatives."""

    def of_images(self, places: Sequence[int], anchors: int) -> "Pairs":
        """Those of some images of the global batch, of which each has that many anchors."""

        def part(whole: Tensor) -> Tensor:
            return torch.cat([whole[place * anchors : (place + 1) * anchors] for place in places])

        return Pairs(part(self.weights), part(self.negatives), part(self.counted))


def choose_pairs(
    alike: Tensor, disjoint: Tensor, candidates: Tensor, foreign: Tensor, level: PairLevelConfig
) -> Pairs:
    """From similarities (anchors, keys), and whether supports are disjoint, a key may be taken at all (it is
    there, and no part of the anchor's own image), and it is of the other domain.
    """
    known = alike.masked_fill(~candidates, torch.nan)
    quantiles = torch.stack([alike.new_full((), ALIKE), alike.new_full((), UNLIKE)])  # made on the device
    best, worst = torch.nanquantile(known, quantiles, dim=1)
    qualified = candidates & ~disjoint & (alike >= best[:, None]) & (alike > 0)
    positives = _most_alike(alike, qualified, foreign, level.positives)
    negatives = candidates & ~positives & (disjoint | (alike <= worst[:, None]))
    strength = alike * positives
    weights = strength / strength.sum(dim=1, keepdim=True).clamp(min=1e-6)
    enough = negatives.sum(dim=1) >= level.min_negatives
    return Pairs(weights, negatives, enough & (strength.sum(dim=1) > 0))


def _most_alike(alike: Tensor, qualified: Tensor, foreign: Tensor, number: int) -> Tensor:
    """The most similar of those that qualify, (anchors, keys) bool; one foreign at least, where one does."""
    guest = qualified & foreign
    best = (alike + 1).masked_fill(~guest, 0).argmax(dim=1, keepdim=True)
    lifted = torch.zeros_like(alike).scatter_(1, best, 2.0) * guest
    score = (alike + 1 + lifted).masked_fill(~qualified, 0)
    top = score.topk(min(number, alike.shape[1]), dim=1)
    chosen = torch.zeros_like(qualified).scatter_(1, top.indices, top.values > 0)
    return chosen


def pair_losses(anchors: Tensor, keys: Tensor, pairs: Pairs, temperature: float) -> Tensor:
    """Each anchor's loss, (anchors,); 0 for one that does not count. Embeddings are unit vectors.

    -sum over positives p of w_p log(e^p / (e^p + sum over negatives of e^n)).
    """
    with torch.autocast(anchors.device.type, enabled=False):
        scores = anchors.float() @ keys.float().T / temperature
    away = scores.masked_fill(~pairs.negatives, -torch.inf).logsumexp(dim=1, keepdim=True)
    away = torch.where(pairs.counted[:, None], away, 0.0)
    each = torch.logaddexp(scores, away.expand_as(scores)) - scores
    return (each * pairs.weights).sum(dim=1) * pairs.counted
