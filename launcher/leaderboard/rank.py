"""Ranks within a table: only complete rows of one protocol, target size and set of seeds are compared."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.leaderboard.axes import flatten, text
from launcher.leaderboard.collect import Record
from launcher.leaderboard.disk import Size
from launcher.leaderboard.rows import Row, Seeds, Table, canonical_json
from launcher.trials.bad_images import bad_images
from launcher.trials.states import State

DIGITS = 9
"""Decimals of a mean mIoU (a fraction) within which two rows share a rank."""

CLASSES_TOLD = 3
"""Names of classes, at most, that tell two protocols apart which count as many."""

ABOVE = "opened above"
"""Ends the mark of a row whose target size is that of a trial it was made from."""


@dataclass(frozen=True)
class Entry:
    """A row's place in one section."""

    row: Row
    rank: int | None
    """From 1, equal scores share one; None where the row may not be ranked."""
    marks: list[str]
    """What a reader has to know about the row."""


@dataclass(frozen=True)
class Section:
    """Rows that may be compared: one protocol and one target size, with the rows that have no size."""

    protocol: str
    size: Size
    entries: list[Entry]


def rank(table: Table) -> list[Section]:
    """Sections by protocol and ascending target size, best row first, rows that cannot be ranked last."""
    groups: dict[str, list[Row]] = defaultdict(list)
    measured: dict[str, set[str]] = defaultdict(set)
    for row in table.rows:
        if row.protocol is not None:
            measured[row.evaluation].add(canonical_json(row.protocol))
    for row in table.rows:
        groups[_protocol_key(row, measured[row.evaluation])].append(row)
    labels = _protocol_labels(groups)
    return [
        Section(labels[key], size, _entries([row for row in groups[key] if row.size in (size, None)]))
        for key in sorted(groups, key=lambda key: labels[key])
        for size in _sizes(groups[key])
    ]


def marks(row: Row) -> list[str]:
    """The states of trials that do not count, and what to know about those that do."""
    words = Counter(_progress(record) for record in row.records if not record.counted)
    if not row.others:
        words["missing"] += row.planned - len(row.records)
    found = [word if count == 1 else f"{count} {word}" for word, count in words.items() if count]
    older = sum(record.older_code for record in row.counted)
    if older:
        found.append("older code" if older == len(row.counted) else f"{older} with older code")
    found += bad_images(dict(result) for result in row.results)
    return [*found, *_above(row), *row.others]


def _above(row: Row) -> list[str]:
    """What trials that it was made from had of the target, where that is more than its own."""
    opened = row.size if row.size != row.own_size else None
    if opened is not None and opened == row.labelled_above:
        return [f"{opened} labelled target images {ABOVE}"]
    found = [] if opened is None else [f"{opened} target images {ABOVE}"]
    return found if row.labelled_above is None else [*found, f"{row.labelled_above} labels used above"]


def _protocol_key(row: Row, measured: set[str]) -> str:
    """Canonical JSON of the row's protocol; without results, the one measured where evaluation is alike."""
    if row.protocol is not None:
        return canonical_json(row.protocol)
    return next(iter(measured)) if len(measured) == 1 else row.evaluation


def _protocol_labels(groups: dict[str, list[Row]]) -> dict[str, str]:
    """Key -> the protocol's name, with what differs where several share the name."""
    named: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for key, rows in groups.items():
        known = next((row for row in rows if row.protocol is not None), rows[0])
        named[known.protocol_name][key] = flatten(known.protocol or {"not measured yet": True})
    labels = {}
    for name, rivals in named.items():
        paths = sorted({path for flat in rivals.values() for path in flat})
        differing = [path for path in paths if len({text(flat.get(path)) for flat in rivals.values()}) > 1]
        for key, flat in rivals.items():
            classes = [each for other in rivals.values() if isinstance(each := other.get("classes"), list)]
            details = ", ".join(_detail(path, flat[path], classes) for path in differing if path in flat)
            labels[key] = f"{name} ({details})" if details else name
    return _told_apart(labels)


def _detail(path: str, value: Any, classes: Sequence[list[str]]) -> str:
    """`classes`: those of all protocols of the name."""
    if value is True:
        return path
    if path == "classes" and isinstance(value, list):
        alike = [other for other in classes if len(other) == len(value)]
        own = [name for name in value if any(name not in other for other in alike)]
        return f"{len(value)} classes" + (f" with {', '.join(own[:CLASSES_TOLD])}" if own else "")
    return f"{path} {text(value)[:24]}"


def _told_apart(labels: dict[str, str]) -> dict[str, str]:
    """With a number where two labels are the same."""
    counts = Counter(labels.values())
    numbers: Counter[str] = Counter()
    found = {}
    for key in sorted(labels):
        label = labels[key]
        numbers[label] += 1
        found[key] = f"{label} #{numbers[label]}" if counts[label] > 1 else label
    return found


def _sizes(rows: Iterable[Row]) -> list[Size]:
    sizes = {row.size for row in rows if row.size is not None}
    return sorted(sizes, key=lambda size: (size == "all", size if isinstance(size, int) else 0)) or [None]


def _entries(rows: Sequence[Row]) -> list[Entry]:
    common = _common_seeds([row for row in rows if row.complete])
    comparable = [row for row in rows if row.complete and _has_seeds(row, common)]
    ranked = sorted(comparable, key=_order)
    means = [round(row.mean or 0.0, DIGITS) for row in ranked]
    best = [Entry(row, 1 + means.index(mean), marks(row)) for row, mean in zip(ranked, means, strict=True)]
    chosen = {id(row) for row in comparable}
    rest = sorted((row for row in rows if id(row) not in chosen), key=_order)
    others = [Entry(row, None, marks(row) + (["other seeds"] if row.complete else [])) for row in rest]
    return best + others


def _common_seeds(rows: Sequence[Row]) -> Seeds:
    """The set of seeds most rows have, the larger where two are as frequent; others cannot be compared.

    Rows without a target subset have no seed of one: they only count where all are such.
    """
    with_subset = [row for row in rows if any(subset is not None for _, subset in row.seeds)]
    counts = Counter(row.seeds for row in with_subset or rows)
    return max(
        counts, key=lambda seeds: (counts[seeds], len(seeds), sorted(map(str, seeds))), default=Seeds()
    )


def _has_seeds(row: Row, common: Seeds) -> bool:
    """Whether a row's are the common ones; where it has no target subset, those of the training."""
    if any(subset is not None for _, subset in row.seeds):
        return row.seeds == common
    return {seed for seed, _ in row.seeds} == {seed for seed, _ in common}


def _order(row: Row) -> tuple[float, str, list[str]]:
    return 1.0 if row.mean is None else -row.mean, row.method, list(row.axes.values())


def state_word(record: Record) -> str:
    """Why a trial does not count."""
    status = record.status
    if status is None:
        return "unreadable"
    if status.state is State.FAILED and status.cause:
        return f"failed: {status.cause}"
    return str(status.state)


def _progress(record: Record) -> str:
    status = record.status
    if status is not None and status.state is State.RUNNING and status.steps:
        return f"running {status.step}/{status.steps}"
    return state_word(record)
