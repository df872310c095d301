"""JSON schemas of sweep files and data profiles, by which editors complete and check them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from launcher.commands.field_docs import described
from launcher.expand.sweep_file import LADDER_AXIS, SweepFile
from segda_core.config import Profile, TaskConfig, TrialConfig
from segda_core.errors import Json
from segda_core.files import write_text
from segda_core.trials.tasks import TASK_CONFIGS

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def write_schemas(folder: Path) -> list[Path]:
    """Write `sweep.json` and `profile.json` into a folder (`sweeps/schema`)."""
    paths = []
    for name, schema in (("sweep", sweep_schema()), ("profile", profile_schema())):
        paths.append(folder / f"{name}.json")
        write_text(paths[-1], json.dumps(schema, indent=1, ensure_ascii=False) + "\n")
    return paths


def sweep_schema() -> Schema:
    """Of `sweeps/NAME.yaml`: axes are checked by the type of the field their path leads to."""
    schema = described(SweepFile.model_json_schema())
    tasks = {name: _partial_config(config) for name, config in TASK_CONFIGS.items()}
    definitions = {**schema["$defs"], **_axis_definitions(list(tasks.values()))}
    for name, task in tasks.items():
        definitions |= {**task["$defs"], f"trial_{name}": _without_definitions(task)}
    for owner, names in ((schema, ["train"]), (definitions["StageFile"], list(tasks))):
        bases = [{"$ref": f"#/$defs/trial_{name}"} for name in names]
        owner["properties"] |= {
            "base": {**_described(owner, "base"), "anyOf": bases},
            "grid": {**_described(owner, "grid"), "$ref": "#/$defs/grid"},
            "zip": {**_described(owner, "zip"), "type": "array", "items": {"$ref": "#/$defs/point"}},
            "exclude": {**_described(owner, "exclude"), "type": "array", "items": {"type": "object"}},
        }
    space = definitions["SearchConfig"]["properties"]["space"]
    space |= _closed(dict.fromkeys(definitions["point"]["properties"], space["additionalProperties"]))
    return {"$schema": DIALECT, **schema, "$defs": definitions}


def _axis_definitions(trials: Sequence[Schema]) -> Schema:
    """A grid, and an entry of zip: their paths are those of any of these trials."""
    axes = _united(axis for trial in trials for axis in _axes(trial, trial["$defs"]))
    values = {path: _axis_values(path, field) for path, field in axes.items()}
    return {"grid": _closed(values), "point": {**_closed(axes), "minProperties": 1}}


def profile_schema() -> Schema:
    """Of `sweeps/data/NAME.yaml`."""
    schema, trial = described(Profile.model_json_schema()), _partial_config(TrialConfig)
    schema["properties"]["trial"] = {**_described(schema, "trial"), **_without_definitions(trial)}
    return {"$schema": DIALECT, **schema, "$defs": {**trial["$defs"], **schema["$defs"]}}


def _partial_config(config: type[TaskConfig]) -> Schema:
    """A trial's schema of which any part may be left out, at every level."""
    schema: Schema = _partial(described(config.model_json_schema()))
    return schema


def _partial(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_partial(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _partial(value) for key, value in schema.items() if not _demands(key, value)}
    if "oneOf" in kept:  # without its name a mapping may fit several of a union's models
        kept["anyOf"] = kept.pop("oneOf")
    return kept


def _demands(key: str, value: Json) -> bool:
    """Whether it is a list of required fields or the choice by name, not a field that is called so."""
    return (key == "required" and isinstance(value, list)) or (key == "discriminator" and "mapping" in value)


def _axes(schema: Schema, definitions: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Dotted path -> schema of every field of a trial, mappings included."""
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        if below != "data":  # chosen by `data:`
            yield below, field
            for choice in _choices(field, definitions):
                yield from _axes(choice, definitions, below)


def _united(fields: Iterable[tuple[str, Schema]]) -> Schema:
    """One schema for each path: a union's models may have the same field, each in its own way."""
    found: dict[str, list[Schema]] = {}
    for path, field in fields:
        if field not in found.setdefault(path, []):
            found[path].append(field)
    return {path: same[0] if len(same) == 1 else {"anyOf": same} for path, same in found.items()}


def _choices(field: Schema, definitions: Schema) -> Iterator[Schema]:
    if "$ref" in field:
        yield definitions[field["$ref"].rpartition("/")[2]]
    for choice in field.get("anyOf", ()):
        yield from _choices(choice, definitions)


def _axis_values(path: str, field: Schema) -> Schema:
    values = {"type": "array", "items": field, "minItems": 1}
    return {"anyOf": [values, {"const": "ladder"}]} if path == LADDER_AXIS else values


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _described(schema: Schema, name: str) -> Schema:
    return {"description": schema["properties"][name]["description"]}


def _without_definitions(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in ("$defs", "title", "description")}
