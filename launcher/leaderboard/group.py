"""Which trials become one row: those that differ by their seeds alone, their ancestors too."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from launcher.leaderboard.axes import ancestor_columns, axis_columns, joined, method_labels, stage_columns
from launcher.leaderboard.collect import Collection, Record, declared_classes
from launcher.leaderboard.rows import Row, Table, canonical_json
from segda_core.config import identity


def build_tables(found: Collection) -> list[Table]:
    """One table for each data name, by name."""
    by_data: dict[str, list[Record]] = defaultdict(list)
    for record in found.records:
        by_data[record.config.data.name].append(record)
    names = sorted({*by_data, *found.unprepared})
    return [_table(name, by_data[name], found.unprepared.get(name, [])) for name in names]


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
