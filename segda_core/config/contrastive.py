"""Contrastive learning by label distributions: an option of every method that trains a segmenter."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from segda_core.config.base import LIST, Beta, Frozen


class LevelConfig(Frozen):
    """What the levels have in common."""

    start: Annotated[int, Field(ge=0)] = 3000
    """First step at which the level counts."""
    ramp: Annotated[int, Field(ge=0)] = 3000
    """Steps over which its weight then rises linearly."""

    def factor(self, step: int) -> float:
        """From 0 to 1."""
        return 0.0 if step < self.start else min(1.0, (step - self.start + 1) / (self.ramp + 1))


class PairLevelConfig(LevelConfig):
    """Levels that compare embeddings of images, or of parts of them, two by two."""

    weight: Annotated[float, Field(ge=0)] = 0.1
    temperature: Annotated[float, Field(gt=0)] = 0.1
    positives: Annotated[int, Field(gt=0)] = 4
    """Keys of the most similar label distributions that an anchor is drawn to, of the best 5 % at most."""
    min_negatives: Annotated[int, Field(gt=0)] = 16
    """An anchor with fewer negatives is left out."""


class ImageLevelConfig(PairLevelConfig):
    """Whole crops, against queues of earlier ones."""

    source_queue: Annotated[int, Field(gt=0)] = 4096
    target_queue: Annotated[int, Field(gt=0)] = 1024
    """Target crops are anchors once it is full."""


class RegionLevelConfig(PairLevelConfig):
    """Parts of crops, against those of the step's other crops."""

    grid: Annotated[tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]], LIST] = (4, 2)
    """(columns, rows)."""
    presence: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of a region from which on it shows a class."""


class PrototypeLevelConfig(LevelConfig):
    """Pixels against the source's class means (SePiCo's simplest form, Xie et al., TPAMI 2023)."""

    ramp: Annotated[int, Field(ge=0)] = 0
    weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 100.0
    """SePiCo's divisor of scores within [-1, 1]: almost linear; ContrastiveSeg's studies found 0.1 best."""
    min_share: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Of a feature cell's pixels that are of one class, for the cell to count."""
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.968
    """From which on a cell of an image without labels has the averaged network's."""
    cooccurrence: bool = False
    """Weigh the means of other classes by 1 + the share of source crops that show both: what stands side by
    side, as rider and bicycle, is pushed apart harder."""


class ContrastiveConfig(Frozen):
    """Draws together what has like label distributions, and apart what has quite different ones.

    Refused with cyclegan, which trains no segmenter. What is said of the source holds for the labelled target
    images of supervised, and the pseudo-labelled ones of pseudo_label, which learn no source; like those of
    source_only they are compared among themselves. joint's target is compared by its true labels; where
    ema_classmix has labelled target images beside the others, these take no part.
    """

    image: ImageLevelConfig | None = None
    region: RegionLevelConfig | None = None
    prototype: PrototypeLevelConfig | None = None
    histograms: Literal["weighted", "raw", "shuffled"] = "weighted"
    """weighted: logarithmic shares times rarity. Controls: raw shares; those of another image, of
    regions also of another place (shuffled). Of images and regions alone: prototypes read none."""
    anchors: Literal["source", "both"] = "both"
    """source: the target is neither anchor nor key."""
    dimension: Annotated[int, Field(gt=0)] = 128
    """Of embeddings of images and regions."""
    prototype_dimension: Annotated[int, Field(gt=0)] = 512
    momentum: Beta = 0.999
    """Of the running average of the segmenter that makes keys and target label distributions."""

    def idle(self, steps: int) -> list[str]:
        """Starts, with their values, of levels that a trial of so many steps never reaches."""
        levels = {"image": self.image, "region": self.region, "prototype": self.prototype}
        return [
            f"contrastive.{name}.start {level.start}"
            for name, level in levels.items()
            if level is not None and level.weight and level.start >= steps
        ]

    @model_validator(mode="after")
    def _check(self) -> "ContrastiveConfig":
        if self.image is None and self.region is None and self.prototype is None:
            raise ValueError("set one of image, region and prototype ({} takes all defaults)")
        return self
