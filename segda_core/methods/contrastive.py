"""Label-distribution contrastive learning: an option of every method that trains a segmenter.

The notes' idea, never tried there: known labels say which images are alike. What has like label distributions
is drawn together in the network's deepest features, what has quite different ones is pushed apart. Every
street shows road, building and sky, so distributions are weighted by rarity (h' ~ log(1 + 100 h) idf), and
parts of images, where classes really are missing, are compared as well. Three levels, each a switch:

    image       embedding of a crop against queues of earlier crops
    region      embeddings of a grid's cells against those of the step's other crops
    prototype   cross-entropy of feature cells with the source's class means, z . mu_c / tau (SePiCo)

    L_i = -sum over positives p of w_ip log(e_ip / (e_ip + sum over negatives n of e_in))
    e_ij = exp(z_i . z_j / tau),  w_ip = s_ip / sum of the positives' s

s = 1 - Jensen-Shannon divergence of two distributions. Positives: the most similar keys above the anchor's
95th percentile, one of the other domain among them where one is that similar; negatives: keys without a
common (rare) class, which are never positives, and those below the 30th percentile; neither: the anchor's own
image. Source distributions are those of the crop's true labels, target ones the averaged network's
probabilities where it is sure of at least 60 % of the pixels. Keys come from a running average of segmenter
and projections, and get no gradient.

Controls (`histograms`): raw shares; or the same distributions on wrong images, `shuffled`: a crop gets that
of the crop before it in its global batch, each of its regions that of another place there, in an order drawn
anew for every image and step. How rare a class is stays counted from the true ones. Prototypes read the
labels of cells and no distribution: for them there is no such control.

A method that learns no source (`supervised`, `pseudo_label`) has its target images and their labels in the
source's place; `joint` compares its target by true labels.

Different from the plan (METHODS of this project, section 5), and why:
- idf counts the source crops seen so far, not all labels beforehand: crops are what is compared, and nothing
  has to be read before the first step. It is never negative, for a class that all images show repels nobody.
- Projections have no batch norm: it would mix both domains' images, and each rank's alone, so that N ranks
  would not equal one.
- Of SePiCo's forms the prototypes alone: bank and distributions are refinements of the same pull, three more
  sets of constants, and the question here is whether label distributions say whom to compare. Its regulariser
  is left out with either sign (as released it lowers the uniformity that it is said to raise): the logarithm
  of a mean over the whole batch does not add up over ranks and micro-batches, as every loss here does.
- Images are not paired by similarity within a batch: batches, and with them every other loss, stay those of
  the run without the option. For the same reason the segmenter sees both domains once more in each step, and
  these passes move no running statistics, nor the random numbers of dropout in what follows: on and off
  differ by the losses alone. Of 5.5 `cooccurrence` remains: classes that occur together push harder.

N ranks equal one: keys, distributions and counts are the global batch's.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.classes import IGNORE_INDEX, NUM_CLASSES
from segda_core.config import OutputName, PrototypeLevelConfig, Stream, TrialConfig
from segda_core.contrast.average import Averaged
from segda_core.contrast.domains import Domain
from segda_core.contrast.heads import Heads
from segda_core.contrast.memory import Memory
from segda_core.contrast.pairs import Pairs, pair_losses
from segda_core.losses import class_pixels, mean_of
from segda_core.methods.base import (
    Batch,
    DomainBatch,
    Prepared,
    SegmenterMethod,
    SegmenterUpdate,
    Tensors,
    Update,
)
from segda_core.models.base import Segmenter
from segda_core.models.statistics import statistics_unmoved
from segda_core.training import ema
from segda_core.training.optim import add_network, build_schedule


class ContrastiveUpdate(Update):
    """The method's losses of its segmenter, and `contrast_LEVEL` of every level."""

    def __init__(self, inner: SegmenterUpdate, heads: Heads, memory: Memory, config: TrialConfig) -> None:
        super().__init__(inner.name)
        assert config.contrastive is not None
        self.options = config.contrastive
        self.batch_size = config.batch_size
        self.inner = inner
        self.heads = heads
        self.memory = memory
        self.optimizer = inner.optimizer
        rate = max(group["initial_lr"] for group in self.optimizer.param_groups)  # `lr` is warming up
        add_network(self.optimizer, "contrast", heads, rate)
        self.schedule = build_schedule(self.optimizer, config.schedule, config.steps)

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """What the method learns, and what of both domains belongs together."""
        losses, carried = self.inner(batch, prepared, carried, step)
        segmenter, device = self.inner.segmenter, self.memory.seen.images.device
        forked = [device] if device.type == "cuda" else []
        with statistics_unmoved(segmenter), torch.random.fork_rng(forked):
            embeddings: dict[Domain, Tensors] = {
                domain: self.heads(segmenter.with_features(images_of(batch, stream).images)[1])
                for domain, stream in self.memory.streams.items()
            }
        options, places = self.options, list(batch.indices)
        if options.image is not None:
            own = {domain: each["image"] for domain, each in embeddings.items()}
            ready = [domain for domain in own if self._may_anchor(domain, step)]
            keys = self.memory.image_keys()
            pairs = {d: self.memory.image_pairs(d, prepared.counts, keys, options.image) for d in ready}
            loss = pair_level(own, keys["keys"], pairs, places, options.image.temperature)
            losses["contrast_image"] = options.image.weight * options.image.factor(step) * loss
        if options.region is not None:
            own = {domain: each["region"] for domain, each in embeddings.items()}
            keys = self.memory.region_keys(prepared.counts)
            pairs = {d: self.memory.region_pairs(d, prepared.counts, keys, options.region) for d in own}
            loss = pair_level(own, keys["keys"], pairs, places, options.region.temperature)
            losses["contrast_region"] = options.region.weight * options.region.factor(step) * loss
        if options.prototype is not None:
            own = {domain: each["prototype"] for domain, each in embeddings.items()}
            loss = self._prototype_level(own, prepared, options.prototype)
            losses["contrast_prototype"] = options.prototype.weight * options.prototype.factor(step) * loss
        return losses, carried

    def _may_anchor(self, domain: Domain, step: int) -> bool:
        return domain == "source" or self.memory.queues[domain].is_full(step, self.batch_size)

    def _prototype_level(
        self, own: dict[Domain, Tensor], prepared: Prepared, level: PrototypeLevelConfig
    ) -> Tensor:
        """Mean over the global batch's cells, of classes that have a mean."""
        prototypes = self.memory.prototypes
        seen = prototypes.seen
        totals, cells = [], []
        for domain, embeddings in own.items():
            with torch.autocast(embeddings.device.type, enabled=False):
                scores = torch.einsum("bdhw,cd->bchw", embeddings, prototypes.means) / level.temperature
            labels = prepared.tensors[f"contrast_{domain}_cells"]
            if level.cooccurrence:
                scores = scores + self._log_weights(labels)
            scores = scores.masked_fill(~seen[:, None, None], -torch.inf)
            known = functional.pad(seen, (0, 1))[labels.clamp(max=len(seen))]
            labels = labels.masked_fill(~known, IGNORE_INDEX)
            totals.append(
                functional.cross_entropy(scores, labels, ignore_index=IGNORE_INDEX, reduction="sum")
            )
            cells.append((prepared.counts[f"contrast_{domain}_cells"] * seen).sum())
        return mean_of(torch.stack(totals).sum(), torch.stack(cells).sum())

    def _log_weights(self, labels: Tensor) -> Tensor:
        """(batch, 19, h, w): logarithms of what each class's mean weighs beside that of the cell's class."""
        weights = functional.pad(self.memory.seen.pair_weights().log(), (0, 0, 0, 1))
        return weights[labels.clamp(max=NUM_CLASSES)].permute(0, 3, 1, 2)


class Contrastive(SegmenterMethod):
    """A method with contrastive levels beside its own losses."""

    def __init__(self, inner: SegmenterMethod) -> None:
        super().__init__(inner.config, inner.segmenter)
        assert inner.config.contrastive is not None
        self.options = inner.config.contrastive
        self.inner = inner
        self.heads = Heads(inner.segmenter.feature_channels, self.options)
        self.average = Averaged(ema.make_teacher(inner.segmenter), ema.make_teacher(self.heads))
        self.memory = Memory(inner.config)

    @property
    def evaluated(self) -> Segmenter:
        """The method's."""
        return self.inner.evaluated

    def networks(self) -> Mapping[str, nn.Module]:
        """The method's, and what the levels need."""
        own = {"heads": self.heads, "average": self.average, "memory": self.memory}
        return {**self.inner.networks(), **{f"contrast_{name}": network for name, network in own.items()}}

    def final(self) -> Mapping[OutputName, nn.Module]:
        """The method's."""
        return self.inner.final()

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """The method's, and keys and label distributions, each in its place of the global batch."""
        ready = self.inner.prepare(batch, step)
        counts, tensors = dict(ready.counts), dict(ready.tensors)
        for domain, stream in self.memory.streams.items():
            seen, cells = self.average.look(images_of(batch, stream), self.options)
            for name, values in seen.items():
                whole = values.new_zeros(self.config.batch_size, *values.shape[1:])
                for place, value in zip(batch.indices, values, strict=True):
                    whole[place] = value
                counts[f"contrast_{domain}_{name}"] = whole
            if cells is not None:
                tensors[f"contrast_{domain}_cells"] = cells.labels
                counts[f"contrast_{domain}_cells"] = class_pixels(cells.labels)
                counts[f"contrast_{domain}_sums"] = cells.sums
        return Prepared(counts=counts, tensors=tensors)

    def before_step(self, counts: Tensors, step: int) -> None:
        """The method's, and the memory takes in the global batch."""
        self.inner.before_step(counts, step)
        self.memory.add(counts, step)

    def updates(self) -> list[Update]:
        """The method's, of which the segmenter's learns the levels too."""
        return [
            ContrastiveUpdate(update, self.heads, self.memory, self.config)
            if isinstance(update, SegmenterUpdate)
            else update
            for update in self.inner.updates()
        ]

    def after_step(self, step: int) -> None:
        """The average follows."""
        self.inner.after_step(step)
        self.average.follow(self.inner.segmenter, self.heads, ema.decay(step, self.options.momentum))


def images_of(batch: Batch, stream: Stream) -> DomainBatch:
    """A stream's images of one micro-batch."""
    found: DomainBatch | None = getattr(batch, stream)
    assert found is not None
    return found


def pair_level(
    own: dict[Domain, Tensor], keys: Tensor, pairs: dict[Domain, Pairs], places: list[int], temperature: float
) -> Tensor:
    """This micro-batch's share of the mean over the global batch's anchors that count.

    `pairs` are those of the whole global batch, several rows for each image where anchors are regions.
    """
    totals, counted = [], []
    for domain, embeddings in own.items():
        totals.append(embeddings.sum() * 0)  # gradients for DDP to wait for, also where nothing counts
        if domain in pairs:
            anchors = embeddings.reshape(-1, keys.shape[1])
            chosen = pairs[domain].of_images(places, len(anchors) // len(places))
            totals.append(pair_losses(anchors, keys, chosen, temperature).sum())
            counted.append(pairs[domain].counted.sum())
    return mean_of(torch.stack(totals).sum(), torch.stack(counted).sum())
