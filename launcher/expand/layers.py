"""Merging what the user wrote, layer over layer, and finding again where a value came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segda_core.errors import Json, KeyPath, dotted


@dataclass(frozen=True)
class Layer:
    """One value the user gave, and where it was written."""

    kind: Literal["profile", "base", "parent", "grid", "zip", "search", "--set"]
    """parent: the value of an axis that the trial has from a parent."""
    file: str
    """File name, or `--set`."""
    prefix: str
    """How the value is called there: `base`, `grid.method`, `optimizer.lr`."""
    path: KeyPath
    """Where in the trial's configuration the value goes; empty: it is a part of the whole."""
    value: Json
    index: int | None = None
    """Which of an axis's values it is."""

    def writes(self, path: KeyPath) -> bool:
        """Whether this layer gives the value at a path, or (an axis of its own) one below it."""
        if len(path) <= len(self.path):
            return self.path[: len(path)] == path
        return path[: len(self.path)] == self.path and _reaches(self.value, path[len(self.path) :])

    def location(self, path: KeyPath, of_key: bool = False) -> str:
        """A path of the trial's configuration as it is written in this layer.

        `of_key`: the last key itself is meant, so that an axis of that path is named without its value.
        """
        if len(path) < len(self.path) or (of_key and len(path) == len(self.path)) or self.index is None:
            name = self.prefix
        else:
            name = f"{self.prefix}[{self.index}]"
        rest = dotted(path[len(self.path) :])
        return f"{name}{rest}" if not rest or rest.startswith("[") else f"{name}.{rest}"


def merge(lower: Json, upper: Json) -> Json:
    """`upper` over `lower`: mappings key by key, unless `upper` has another `name`; all else replaces."""
    if not isinstance(lower, dict) or not isinstance(upper, dict):
        return upper
    if "name" in upper and upper["name"] != lower.get("name", upper["name"]):
        return upper
    merged = dict(lower)
    for key, value in upper.items():
        merged[key] = merge(lower[key], value) if key in lower else value
    return merged


def put(raw: Json, path: Sequence[str], value: Json) -> Json:
    """`raw` with a value merged in at a path; shares every other part with `raw`, which stays as it is."""
    if not path:
        return merge(raw, value)
    below = raw if isinstance(raw, dict) else {}
    head, rest = path[0], path[1:]
    if head in below or rest:
        value = put(below.get(head, {}), rest, value)
    return {**below, head: value}


def find_layer(layers: Sequence[Layer], path: KeyPath) -> Layer | None:
    """The highest of the layers (lowest first) that gives the value at a path."""
    return next((layer for layer in reversed(layers) if layer.writes(path)), None)


def look_up(raw: Json, path: KeyPath) -> Json:
    """The value at a path; `KeyError` where there is none."""
    for part in path:
        try:
            raw = raw[part]
        except (TypeError, IndexError) as error:  # a value without parts, or fewer of them
            raise KeyError(dotted(path)) from error
    return raw


def _reaches(value: Json, path: KeyPath) -> bool:
    try:
        look_up(value, path)
    except KeyError:
        return False
    return True
