"""Axes of which one lies below another: what both give, one would take from the other without a word."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from launcher.expand.layers import Layer
from segda_core.errors import Json, KeyPath, dotted


def overlaps(points: Iterable[Sequence[Layer]]) -> Iterator[str]:
    """A fault for each two axes that give one setting different values at some point."""
    told: set[tuple[KeyPath, KeyPath]] = set()
    for point in points:
        for above, below in product(point, point):
            pair = above.path, below.path
            if _is_above(*pair) and pair not in told and (fault := _lost(above, below)):
                told.add(pair)
                yield fault


def _is_above(upper: KeyPath, lower: KeyPath) -> bool:
    return len(upper) < len(lower) and lower[: len(upper)] == upper


def _lost(above: Layer, below: Layer) -> str | None:
    """What the value of the lower axis would take from that of the upper one."""
    path: KeyPath = above.path
    value = above.value
    for key in below.path[len(above.path) :]:
        if isinstance(value, dict) and key not in value:
            return None
        if not isinstance(value, dict):
            break
        path, value = (*path, key), value[key]
    else:
        found = _differs(value, below.value, path)
        if found is None:
            return None
        path = found
    place = above.location(above.path)
    return f"{below.prefix}: it would replace what {place} gives; give {dotted(path)} in one of the two"


def _differs(one: Json, other: Json, path: KeyPath) -> KeyPath | None:
    """The first setting that both give, but not alike."""
    if isinstance(one, dict) and isinstance(other, dict):
        shared = [_differs(one[key], other[key], (*path, key)) for key in one if key in other]
        return next((found for found in shared if found is not None), None)
    return None if one == other else path
