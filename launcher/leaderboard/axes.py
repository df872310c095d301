"""Which parts of the configurations tell a sweep's trials apart: the method's label and the axis columns."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from launcher.leaderboard.collect import Record
from segda_core.config import identity

NAMED = ("method", "model", "optimizer", "schedule")
"""Choices told by their name, and by their options only where one name has several."""

BLOCKS = ("contrastive", "rare_class_sampling")
"""Blocks of options that a trial has or has not, told in one column each."""

OWN_COLUMN = (
    "data",
    "method",
    "seed",
    "evaluation",
    "target.subset.size",
    "target.subset.seed",
    "target.labelled",
)
"""Shown in columns of their own, or by the protocol, or averaged over."""


def method_labels(records: Sequence[Record]) -> list[str]:
    """One for each record: `adaptsegnet`, or `adaptsegnet (gan lsgan)` where the sweep has several."""
    return _variants([record.config.method.model_dump(mode="json") for record in records])


def axis_columns(records: Sequence[Record], rows: Sequence[object]) -> dict[str, list[str]]:
    """Dotted path -> one value for each record, for every path a column is needed for.

    Those are the sweep's own axes that vary, whatever else differs among the trials of one row (`rows` holds
    each record's row so far), and what one of several sweeps sets otherwise than another. What merely follows
    from the method or the size needs none within a sweep.
    """
    identities = [_paths(identity(record.config)) for record in records]
    candidates = {path for paths in identities for path in paths if not _related(path, OWN_COLUMN)}
    axes = {axis for record in records for axis in record.axes}
    dumps = [record.config.model_dump(mode="json") for record in records]
    columns = {}
    for path in sorted(candidates):
        values = [paths.get(path) for paths in identities]
        if len(set(values)) > 1 and (
            _related(path, axes) or _varies_within(rows, values) or _differs_between(records, path, values)
        ):
            columns[path] = _options(records, path) if path in BLOCKS else _shown(dumps, path)
    return columns


def stage_columns(records: Sequence[Record]) -> dict[str, list[str]]:
    """`stage` where there are several, and for children of several kinds of parents what these differ in."""
    columns = {}
    if len({record.stage for record in records}) > 1:
        columns["stage"] = [record.stage or "" for record in records]
    for path in sorted({path for record in records for path in record.lineage}):
        values = [text({**record.above.point, **record.lineage}.get(path, "")) for record in records]
        if len({value for value in values if value}) > 1:
            columns[f"parent's {path}"] = values
    return columns


def ancestor_columns(records: Sequence[Record], rows: Sequence[object]) -> dict[str, list[str]]:
    """What else the ancestors of one row's trials differ in: several sweeps, or a changed one, made them."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for place in sorted({place for record in records for place in record.above.trials}):
        for path, values in _differences(records, rows, place).items():
            found[f"{'parent' if len(place) == 1 else 'grandparent'}'s {path}"].append(values)
    whole = [index for index, record in enumerate(records) if not record.above.missing]
    families = [", ".join(" of ".join(reversed(place)) for place in each.above.trials) for each in records]
    if _varies_within([rows[index] for index in whole], [families[index] for index in whole]):
        found["made from"].append(families)
    return {name: [joined(each) for each in zip(*values, strict=True)] for name, values in found.items()}


def joined(values: Iterable[str]) -> str:
    """Several values in one cell, each once and without empty ones."""
    return " / ".join(dict.fromkeys(filter(None, values)))


def _differences(
    records: Sequence[Record], rows: Sequence[object], place: tuple[str, ...]
) -> dict[str, list[str]]:
    """Path -> values, defaults included, of those who stand at one place above trials of one row."""
    there = [index for index, record in enumerate(records) if place in record.above.trials]
    above = [records[index].above.trials[place] for index in there]
    paths, own_rows = [_paths(each.settings) for each in above], [rows[index] for index in there]
    found = {}
    for path in sorted({path for own in paths for path in own}):
        if _varies_within(own_rows, [own.get(path) for own in paths]):
            dumps = [each.config.model_dump(mode="json") for each in above]
            shown = dict(zip(there, _shown(dumps, path), strict=True))
            found[path] = [shown.get(index, "") for index in range(len(records))]
    return found


def text(value: Any) -> str:
    """A configuration value for people."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if _only_named(value):
        return str(next(iter(value.values())))
    if isinstance(value, list) and value and all(_only_named(item) for item in value):
        return "+".join(text(item) for item in value)
    return json.dumps(value)


def _variants(choices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each choice's name, with the options that differ among choices of that name.

    A block of options that only some of them have is told by its name where these have it alike.
    """
    flat = [flatten(choice) for choice in choices]
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    absent: dict[str, set[str]] = defaultdict(set)
    for options in flat:
        for path, value in options.items():
            values[options["name"], path].add(text(value))
            if value is None:
                absent[options["name"]].add(path)
    labels = []
    for options in flat:
        name = options["name"]
        differing = {path for path in options if len(values[name, path]) > 1}
        told = {path: f"{path} {text(options[path])}" for path in options if path in differing}
        for block in sorted(absent[name]):
            within = {path for path in options if path.startswith(f"{block}.")}
            if within and not within & differing:
                told[block] = block
        labels.append(f"{name} ({', '.join(told.values())})" if told else name)
    return labels


def _shown(dumps: Sequence[dict[str, Any]], path: str) -> list[str]:
    """The value at a path, defaults included; a choice that a task does not have is empty."""
    if path in NAMED:
        there = [index for index, dump in enumerate(dumps) if dump.get(path) is not None]
        told = dict(zip(there, _variants([dumps[index][path] for index in there]), strict=True))
        return [told.get(index, "") for index in range(len(dumps))]
    return [text(_at(dump, path)) for dump in dumps]


def _options(records: Sequence[Record], path: str) -> list[str]:
    """`none`, or what each block sets: its parts by name, and values that another block has otherwise."""
    found = [getattr(record.config, path) for record in records]
    blocks = [
        None if block is None else block.model_dump(mode="json", exclude_defaults=True) for block in found
    ]
    there = [block for block in blocks if block is not None]
    return ["none" if block is None else ", ".join(_set(block, there)) or "on" for block in blocks]


def _set(block: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    told = []
    for key, value in block.items():
        if isinstance(value, dict):
            within = _set(value, [other[key] for other in blocks if key in other])
            told.append(f"{key} ({', '.join(within)})" if within else key)
        elif any(other.get(key) != value for other in blocks):
            told.append(f"{key} {text(value)}")
    return told


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted path -> leaf."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _paths(kept: Mapping[str, Any]) -> dict[str, str]:
    """Dotted path -> canonical JSON, named choices and blocks of options as one."""
    whole = {path: kept[path] for path in (*NAMED, *BLOCKS) if path in kept}
    rest = flatten({key: value for key, value in kept.items() if key not in whole})
    return {path: json.dumps(value, sort_keys=True) for path, value in {**whole, **rest}.items()}


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def _related(path: str, others: Iterable[str]) -> bool:
    """Whether the path is one of the others, or holds or is held by one."""
    return any(f"{path}.".startswith(f"{other}.") or other.startswith(f"{path}.") for other in others)


def _varies_within(rows: Sequence[object], values: Sequence[str | None]) -> bool:
    seen: dict[object, set[str | None]] = defaultdict(set)
    for row, value in zip(rows, values, strict=True):
        seen[row].add(value)
    return any(len(found) > 1 for found in seen.values())


def _differs_between(records: Sequence[Record], path: str, values: Sequence[str | None]) -> bool:
    """Whether two sweeps have no value in common, of trials for which the path says anything."""
    found: dict[str, set[str | None]] = defaultdict(set)
    for record, value in zip(records, values, strict=True):
        if _is_used(path, record):
            found[record.sweep].add(value)
    return any(one.isdisjoint(other) for one, other in combinations(found.values(), 2))


def _is_used(path: str, record: Record) -> bool:
    """Whether a trial opens images of the domain that a path is about, if it is about one."""
    domain = next((name for name in ("source", "target") if _related(path, (name, f"transforms.{name}"))), "")
    return any(stream.startswith(domain) for stream in record.config.streams)


def _only_named(item: Any) -> bool:
    """A mapping that says nothing but the name of a choice or domain, or the key of an output."""
    if not isinstance(item, dict):
        return False
    return {key for key, value in item.items() if value is not None} in ({"name"}, {"output"})
