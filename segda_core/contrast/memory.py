"""What contrastive learning remembers of earlier steps: equal on all ranks, and part of the checkpoint."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from segda_core.classes import NUM_CLASSES, SHOWN_SHARE
from segda_core.config import ImageLevelConfig, PairLevelConfig, RegionLevelConfig, TrialConfig
from segda_core.contrast.domains import Domain, compared
from segda_core.contrast.histograms import rare_classes, rarity, similarity, weighted
from segda_core.contrast.pairs import Pairs, choose_pairs
from segda_core.contrast.shuffled import region_origins
from segda_core.data.sampling import control_generator

NUMBERS: dict[Domain, int] = {"source": 0, "target": 1}

Entries = dict[str, Tensor]
"""Of images or regions: `keys`, `shares`, `numbers` (of images), `usable`, `domains`."""


class Seen(nn.Module):
    """How many of the source crops so far showed each class, which makes it rare, or two of them."""

    shown: Tensor
    images: Tensor
    both: Tensor
    """(19, 19); only with `pairs`."""

    def __init__(self, *, pairs: bool) -> None:
        super().__init__()
        self.pairs = pairs
        self.register_buffer("shown", torch.zeros(NUM_CLASSES))
        self.register_buffer("images", torch.zeros(()))
        if pairs:
            self.register_buffer("both", torch.zeros(NUM_CLASSES, NUM_CLASSES))

    def add(self, shares: Tensor, usable: Tensor) -> None:
        """The step's source crops: label distributions (batch, 19), and whether they have labels (batch,)."""
        shown = ((shares >= SHOWN_SHARE) & (usable > 0)[:, None]).float()
        self.shown += shown.sum(dim=0)
        self.images += (usable > 0).sum()
        if self.pairs:
            self.both += shown.T @ shown

    def pair_weights(self) -> Tensor:
        """(19, 19): 1 + the share of images that showed both classes; 1 on the diagonal."""
        return 1 + (self.both / self.images.clamp(min=1)).fill_diagonal_(0)


class Queue(nn.Module):
    """The newest crops of one domain: first in, first out."""

    keys: Tensor
    shares: Tensor
    numbers: Tensor
    usable: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("keys", torch.zeros(size, dimension))
        self.register_buffer("shares", torch.zeros(size, NUM_CLASSES))
        self.register_buffer("numbers", torch.full((size,), -1))
        self.register_buffer("usable", torch.zeros(size, dtype=torch.bool))

    def push(self, step: int, entries: Mapping[str, Tensor]) -> None:
        """A global batch's `keys`, `shares`, `numbers` and `usable`, in the places of the oldest."""
        batch = len(entries["keys"])
        places = (step * batch + torch.arange(batch, device=self.keys.device)) % self.size
        for name, values in entries.items():
            getattr(self, name)[places] = values

    def is_full(self, steps: int, batch: int) -> bool:
        """Whether after so many steps of batches nothing is empty."""
        return steps * batch >= self.size


class Prototypes(nn.Module):
    """Each class's mean source feature over all steps, weighted by the number of cells."""

    sums: Tensor
    cells: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(NUM_CLASSES, dimension))
        self.register_buffer("cells", torch.zeros(NUM_CLASSES))

    def add(self, sums: Tensor, cells: Tensor) -> None:
        """The step's."""
        self.sums += sums
        self.cells += cells

    @property
    def means(self) -> Tensor:
        """(19, dimension)."""
        return self.sums / self.cells.clamp(min=1)[:, None]

    @property
    def seen(self) -> Tensor:
        """(19,) bool: classes with a mean."""
        return self.cells > 0


class Memory(nn.Module):
    """All of it, and the pairs that follow from it."""

    def __init__(self, config: TrialConfig) -> None:
        super().__init__()
        assert config.contrastive is not None
        self.options = config.contrastive
        self.seed = config.seed
        self.streams = compared(config)
        prototype = self.options.prototype
        self.seen = Seen(pairs=prototype is not None and prototype.cooccurrence)
        self.queues: dict[Domain, Queue] = {}
        if self.options.image is not None:
            sizes = {"source": self.options.image.source_queue, "target": self.options.image.target_queue}
            self.queues = {domain: Queue(sizes[domain], self.options.dimension) for domain in self.streams}
        self.registered = nn.ModuleDict({str(domain): queue for domain, queue in self.queues.items()})
        self.prototypes = Prototypes(self.options.prototype_dimension)
        self.region_origins: dict[Domain, Tensor] = {}
        """Of the step at hand, where distributions are shuffled."""

    def add(self, counts: Mapping[str, Tensor], step: int) -> None:
        """Take in a global batch, as `Averaged.look` describes it; under `torch.no_grad`."""
        self.seen.add(counts["contrast_source_image_shares"], counts["contrast_source_image_usable"])
        for domain, queue in self.queues.items():
            entries = self._entries(counts, domain, "image")
            queue.push(step, {name: entries[name] for name in ("keys", "shares", "numbers", "usable")})
        if self.options.prototype is not None:
            self.prototypes.add(counts["contrast_source_sums"], counts["contrast_source_cells"])
        if self.options.region is not None and self.options.histograms == "shuffled":
            for domain in self.streams:
                usable = counts[f"contrast_{domain}_region_usable"]
                batch, regions = usable.shape
                rng = control_generator(self.seed, step, NUMBERS[domain])
                origins = region_origins(batch, regions, rng)
                self.region_origins[domain] = origins.to(usable.device, non_blocking=True)

    def image_keys(self) -> Entries:
        """Every crop in the queues."""
        return _together(
            {
                "keys": queue.keys,
                "shares": queue.shares,
                "numbers": queue.numbers,
                "usable": queue.usable,
                "domains": torch.full_like(queue.numbers, NUMBERS[domain]),
            }
            for domain, queue in self.queues.items()
        )

    def image_pairs(
        self, domain: Domain, counts: Mapping[str, Tensor], keys: Entries, level: ImageLevelConfig
    ) -> Pairs:
        """Of every crop of the global batch."""
        anchors = self._entries(counts, domain, "image")
        rare = [rare_classes(each["shares"], self.seen.shown, self.seen.images) for each in (anchors, keys)]
        alike = similarity(self._compared(anchors["shares"]), self._compared(keys["shares"]))
        return _pairs(anchors, keys, alike, _disjoint(*rare), level)

    def region_keys(self, counts: Mapping[str, Tensor]) -> Entries:
        """Every region of the global batch."""
        return _together(self._entries(counts, domain, "region") for domain in self.streams)

    def region_pairs(
        self, domain: Domain, counts: Mapping[str, Tensor], keys: Entries, level: RegionLevelConfig
    ) -> Pairs:
        """Of every region of a domain's global batch; raw shares, for rarity is that of whole images."""
        anchors = self._entries(counts, domain, "region")
        supports = [each["shares"] >= level.presence for each in (anchors, keys)]
        alike = similarity(anchors["shares"], keys["shares"])
        return _pairs(anchors, keys, alike, _disjoint(*supports), level)

    def _compared(self, shares: Tensor) -> Tensor:
        if self.options.histograms == "raw":
            return shares
        return weighted(shares, rarity(self.seen.shown, self.seen.images))

    def _entries(self, counts: Mapping[str, Tensor], domain: Domain, part: str) -> Entries:
        """A domain's global batch; as a control (`shuffled`) with the distributions of others."""
        beginning = f"contrast_{domain}_{part}"
        known = counts[f"{beginning}_usable"] > 0
        numbers = counts[f"contrast_{domain}_numbers"]
        numbers = numbers.view(-1, *(1,) * (known.ndim - 1)).expand_as(known).flatten()
        shares, usable = counts[f"{beginning}_shares"].flatten(0, -2), known.flatten()
        if self.options.histograms == "shuffled":
            shares, usable = (self._of_others(each, domain, part) for each in (shares, usable))
        return {
            "keys": counts[f"{beginning}_keys"].flatten(0, -2),
            "shares": shares,
            "numbers": numbers,
            "usable": usable,
            "domains": torch.full_like(numbers, NUMBERS[domain]),
        }

    def _of_others(self, values: Tensor, domain: Domain, part: str) -> Tensor:
        """Each image's from the image before; each region's from where the step's order says."""
        return values.roll(1, dims=0) if part == "image" else values[self.region_origins[domain]]


def _together(parts: Iterable[Entries]) -> Entries:
    each = list(parts)
    return {name: torch.cat([entries[name] for entries in each]) for name in each[0]}


def _disjoint(one: Tensor, other: Tensor) -> Tensor:
    """(n, m) bool: neither of two sets of classes is empty, and they have none in common."""
    common = one.float() @ other.float().T > 0
    return ~common & one.any(dim=1)[:, None] & other.any(dim=1)


def _pairs(anchors: Entries, keys: Entries, alike: Tensor, disjoint: Tensor, level: PairLevelConfig) -> Pairs:
    foreign = anchors["domains"][:, None] != keys["domains"]
    own = (anchors["numbers"][:, None] == keys["numbers"]) & ~foreign
    candidates = anchors["usable"][:, None] & keys["usable"] & ~own
    return choose_pairs(alike, disjoint, candidates, foreign, level)
