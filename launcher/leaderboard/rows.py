"""A row of the leaderboard and a table of them: scores over seeds, with mean and spread."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from launcher.leaderboard.collect import Record, Result
from launcher.leaderboard.disk import Size, largest
from segda_core.config import TrialConfig

Seeds = frozenset[tuple[int, int | None]]
"""Of the training, and of the target subset or None."""


@dataclass(frozen=True)
class Row:
    """Trials that differ by their seeds alone."""

    method: str
    size: Size
    """Target images that its trials, or any above them, open: it is compared with no smaller size."""
    own_size: Size
    """Those that its trials open themselves."""
    axes: dict[str, str]
    """Axis path -> value."""
    records: tuple[Record, ...]
    evaluation: str
    """Canonical JSON of what the configuration says about evaluation."""
    protocol: dict[str, Any] | None
    """Of the results; None while there is none."""
    planned: int
    others: tuple[str, ...] = ()
    """Marks found while grouping."""

    @cached_property
    def counted(self) -> list[Record]:
        """Finished trials on today's images."""
        return [record for record in self.records if record.counted]

    @property
    def complete(self) -> bool:
        """Whether every planned seed counts: only then is the row ranked."""
        return bool(self.counted) and len(self.counted) == self.planned

    @cached_property
    def results(self) -> list[Result]:
        """The counted results; where there is none, those of stale trials, to be shown and not ranked."""
        records = self.counted or [record for record in self.records if record.stale]
        return [record.result for record in records if record.result is not None]

    @cached_property
    def mean(self) -> float | None:
        """Mean mIoU of `results` as a fraction."""
        return fmean(result.miou for result in self.results) if self.results else None

    @cached_property
    def std(self) -> float | None:
        """Sample standard deviation of `results`; None below two."""
        return stdev(result.miou for result in self.results) if len(self.results) > 1 else None

    @property
    def pixel_accuracy(self) -> float | None:
        """Mean pixel accuracy of `results` as a fraction."""
        return fmean(result.pixel_accuracy for result in self.results) if self.results else None

    def iou(self, name: str) -> float | None:
        """Mean IoU of one class over `results`; None where it is not declared or nothing finished."""
        values = [value for result in self.results if (value := result.iou.get(name)) is not None]
        return fmean(values) if values and len(values) == len(self.results) else None

    @property
    def seeds(self) -> Seeds:
        """Seeds that count: of the training, and of the target subset where one chooses images."""
        return frozenset((record.config.seed, _subset_seed(record.config)) for record in self.counted)

    @property
    def labelled(self) -> int | str | None:
        """Target images whose labels were used; None for none."""
        if self.results:
            return self.results[0].labelled_images or None
        labelled = self.records[0].config.target.labelled
        return None if labelled is None else labelled.size

    @property
    def labelled_above(self) -> Size:
        """Of the trials it was made from, the most target images whose labels one used; None unless more."""
        above, own = self.records[0].above.labelled, self.records[0].config.target.labelled
        return None if own is not None and largest(own.size, above) == own.size else above

    @property
    def uses_target_labels(self) -> bool:
        """Whether target labels were used, by this trial or one above it; will be, where nothing finished."""
        if self.results:
            return any(result.uses_target_labels for result in self.results)
        return any(record.will_use_target_labels for record in self.records)

    @property
    def classes(self) -> list[str]:
        """Those that the mean is over."""
        measured = (self.protocol or {}).get("classes")
        return measured if isinstance(measured, list) else list(self.records[0].config.evaluation.classes)

    @property
    def protocol_name(self) -> str:
        """The preset the scores are measured under."""
        name = (self.protocol or {}).get("name")
        return name if isinstance(name, str) else self.records[0].config.evaluation.protocol


@dataclass(frozen=True)
class Table:
    """Everything known about the trials on one data name."""

    data: str
    rows: list[Row]
    axes: list[str]
    classes: list[str]
    unprepared: list[str] = field(default_factory=list)
    """Planned ids whose configuration is not on disk yet."""

    @property
    def records(self) -> list[Record]:
        """Every trial once."""
        return list({record.id: record for row in self.rows for record in row.records}.values())


def _subset_seed(config: TrialConfig) -> int | None:
    """None where it chooses nothing: of all images, all labelled or none, and of the first names."""
    subset, labelled = config.target.subset, config.target.labelled
    if subset is None or subset.pick == "first":
        return None
    whole = subset.size == "all" and (labelled is None or labelled.size == "all")
    return None if whole else subset.seed


def canonical_json(value: Any) -> str:
    """Equal text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
