"""Every fault of every point of a sweep, said once and where the user wrote it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.expand.layers import Layer, find_layer
from launcher.expand.points import short
from segda_core.errors import Json, Problem, dotted


@dataclass
class _Seen:
    """One fault: at how many points, the first of them, and whether its place already says which."""

    count: int
    point: Mapping[str, Json]
    place_says: bool
    layers: set[int]
    """Those to blame."""
    of_several: bool


class Faults:
    """Collects the problems of a sweep's points, to list them all at once."""

    def __init__(self, file: Path, certain: bool = True) -> None:
        """`certain`: the points are those the user means; else other faults may have made them."""
        self.file = file
        self.points = 0
        self.seen: dict[str, _Seen] = {}
        self._certain = certain
        self._points_with: Counter[int] = Counter()
        """Layer -> points it is a part of."""

    def count(self, layers: Sequence[Layer]) -> None:
        """One more point, made of these layers, was looked at."""
        self.points += 1
        if not self._certain:
            self._points_with.update(map(id, layers))

    def add(self, problems: Sequence[Problem], layers: Sequence[Layer], point: Mapping[str, Json]) -> None:
        """The problems of one point, made of these layers (lowest first)."""
        self.count(layers)
        for problem in problems:
            layer = find_layer(layers, problem.path) if problem.path else None
            new = _Seen(0, point, _says_point(problem, layer), set(), problem.of_several)
            known = self.seen.setdefault(self._text(problem, layer), new)
            known.count += 1
            known.layers |= set() if layer is None else {id(layer)}

    def lines(self) -> list[str]:
        """Every fault; where the points are not certain, those that are there whatever the points."""
        return [
            self._line(text, seen)
            for text, seen in self.seen.items()
            if self._certain or self._is_there_anyway(seen)
        ]

    def _is_there_anyway(self, seen: _Seen) -> bool:
        """Whether the fault is at every point that has what is to blame."""
        points = sum(self._points_with[layer] for layer in seen.layers)
        return not seen.of_several and seen.count == points

    def _text(self, problem: Problem, layer: Layer | None) -> str:
        if layer is not None and layer.file == "--set":
            return f"--set {layer.location(problem.path, problem.of_key)}: {problem.text}"
        if layer is not None:
            return f"{layer.file}: {layer.location(problem.path, problem.of_key)}: {problem.text}"
        place = f"{dotted(problem.path)}: " if problem.path else ""
        return f"{self.file}: {place}{problem.text}"

    def _line(self, text: str, seen: _Seen) -> str:
        if seen.count == self.points or seen.place_says:
            return text
        return f"{text} (at {seen.count} of {self.points} points, first {short(seen.point)})"


def _says_point(problem: Problem, layer: Layer | None) -> bool:
    """Whether the place names one value of an axis, and with it the points."""
    if layer is None or layer.kind not in ("grid", "zip"):
        return False
    return layer.kind == "zip" or not problem.of_key or len(problem.path) > len(layer.path)
