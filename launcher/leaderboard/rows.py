"""One table per data name: trials that differ by their seeds alone become one row, with mean and spread."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from launcher.leaderboard.axes import ancestor_columns, axis_columns, joined, method_labels, stage_columns
from launcher.leaderboard.collect import Collection, Record, Result, declared_classes
from launcher.leaderboard.disk import Size, largest
from segda_core.config import TrialConfig, identity


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

    @property
    def mean(self) -> float | None:
        """Mean mIoU of `results` as a fraction."""
        return fmean(result.miou for result in self.results) if self.results else None

    @property
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
    def seeds(self) -> frozenset[tuple[int, int | None]]:
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


def build_tables(found: Collection) -> list[Table]:
    """One table for each data name, by name."""
    by_data: dict[str, list[Record]] = defaultdict(list)
    for record in found.records:
        by_data[record.config.data.name].append(record)
    names = sorted({*by_data, *found.unprepared})
    return [_table(name, by_data[name], found.unprepared.get(name, [])) for name in names]


def canonical_json(value: Any) -> str:
    """Equal text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _table(data: str, records: Sequence[Record], unprepared: list[str]) -> Table:
    labels = method_labels(records)
    keys = [_key(record) for record in records]
    columns = stage_columns(records)
    keys = [(*key, *told) for key, told in zip(keys, _across(columns, len(records)), strict=True)]
    columns |= axis_columns(records, keys)
    keys = [(*key, *told) for key, told in zip(keys, _across(columns, len(records)), strict=True)]
    above = _families(records, keys)
    for column, values in ancestor_columns(records, keys).items():
        told = zip(columns.get(column, [""] * len(records)), values, strict=True)
        columns[column] = [joined(each) for each in told]
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    heads: dict[tuple[object, ...], tuple[str, dict[str, str]]] = {}
    for index, record in enumerate(records):
        axes = {path: values[index] for path, values in columns.items()}
        key = (*keys[index], above[index])
        groups[key].append(record)
        if key not in heads or not record.above.missing:
            heads[key] = (labels[index], axes)
    placed = _placed(unprepared, groups)
    rows = [row for key, group in groups.items() for row in _rows(*heads[key], group, placed[key])]
    return Table(data, rows, list(columns), declared_classes(records), unprepared)


def _families(records: Sequence[Record], keys: Sequence[object]) -> list[str]:
    """How each record's ancestors were made; of one whose ancestors are gone, as its only siblings' were."""
    known: dict[object, set[str]] = defaultdict(set)
    for record, key in zip(records, keys, strict=True):
        if not record.above.missing:
            known[key].add(record.above.key)
    return [
        next(iter(known[key]), "") if record.above.missing and len(known[key]) < 2 else record.above.key
        for record, key in zip(records, keys, strict=True)
    ]


def _subset_seed(config: TrialConfig) -> int | None:
    """None where it chooses nothing: of all images, all labelled or none, and of the first names."""
    subset, labelled = config.target.subset, config.target.labelled
    if subset is None or subset.pick == "first":
        return None
    whole = subset.size == "all" and (labelled is None or labelled.size == "all")
    return None if whole else subset.seed


def _across(columns: dict[str, list[str]], count: int) -> list[tuple[str, ...]]:
    """The values of each record."""
    return [tuple(values[index] for values in columns.values()) for index in range(count)]


def _key(record: Record) -> tuple[object, ...]:
    """What only equal trials share but for seeds: of the method its settings, whatever its label shows."""
    method = canonical_json(identity(record.config.method))
    labelled = record.config.target.labelled
    sizes = (record.size, record.own_size, None if labelled is None else labelled.size)
    return (method, *sizes, _evaluation(record))


def _evaluation(record: Record) -> str:
    return canonical_json({"version": record.config.data.version, **identity(record.config.evaluation)})


def _stem(identifier: str) -> str:
    """An id without its seed and hash: `joint-streets-n10` of `joint-streets-n10-s0-0123456789ab`."""
    return identifier.rsplit("-", 2)[0]


def _placed(
    unprepared: Sequence[str], groups: dict[tuple[object, ...], list[Record]]
) -> dict[tuple[object, ...], tuple[int, tuple[str, ...]]]:
    """For each row, how many planned trials without a configuration belong to it, or may, and marks.

    Only the label in the id tells. Where several rows share one, each counts them all and so stays unranked.
    """
    counts = Counter(_stem(identifier) for identifier in unprepared)
    stems = {key: {_stem(record.id) for record in group} for key, group in groups.items()}
    sharing = Counter(stem for own in stems.values() for stem in own)
    placed: dict[tuple[object, ...], tuple[int, tuple[str, ...]]] = {}
    for key, own in stems.items():
        count = sum(counts[stem] for stem in own)
        shared = any(counts[stem] and sharing[stem] > 1 for stem in own)
        placed[key] = (count, (f"{count} missing here or in a row like it",) if shared else ())
    return placed


def _rows(
    method: str, axes: dict[str, str], group: Sequence[Record], placed: tuple[int, tuple[str, ...]]
) -> list[Row]:
    """Usually one row; one for each protocol where the results were measured under several."""
    missing, marks = placed
    by_protocol: dict[str, list[Record]] = defaultdict(list)
    waiting = [record for record in group if record.result is None]
    for record in group:
        if record.result is not None:
            by_protocol[canonical_json(record.result.protocol)].append(record)
    if len(by_protocol) > 1:
        marks = (*marks, "other seeds under another protocol")
    return [
        Row(
            method=method,
            size=group[0].size,
            own_size=group[0].own_size,
            axes=axes,
            records=(*measured, *waiting),
            evaluation=_evaluation(group[0]),
            protocol=measured[0].result.protocol if measured and measured[0].result else None,
            planned=len(group) + missing,
            others=marks,
        )
        for measured in (list(by_protocol.values()) or [[]])
    ]
