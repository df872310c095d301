"""The points of a sweep: the cross product of its axes, less what `exclude` leaves out."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from launcher.expand.layers import Layer, look_up
from launcher.expand.overlaps import overlaps
from launcher.expand.sweep_file import LADDER_AXIS, StageFile, SweepFile
from launcher.search.config import SearchConfig
from segda_core.errors import Json, did_you_mean, shown

Choice = tuple[Layer, ...]
"""One value of an axis; of the zipped axis, the values that move together."""

Point = tuple[Layer, ...]
"""One choice of every axis, in the file's order."""


@dataclass(frozen=True)
class Axes:
    """The axes of a sweep on a data profile."""

    choices: tuple[tuple[Choice, ...], ...]
    exclude: tuple[Mapping[str, Json], ...]
    faults: tuple[str, ...] = ()
    """What is wrong with them as the file has them; the faulty parts are left out above."""

    def points(self) -> Iterator[Point]:
        """Every point that is not excluded, the last axis moving fastest."""
        for chosen in itertools.product(*self.choices):
            point = tuple(itertools.chain(*chosen))
            if not self.exclude or self.excluded_by(point) is None:
                yield point

    def excluded_by(self, point: Point) -> int | None:
        """Position of the first `exclude` entry that matches a point."""
        matching = (number for number, entry in enumerate(self.exclude) if _matches(entry, point))
        return next(matching, None)

    def idle_excludes(self) -> list[int]:
        """Positions of `exclude` entries that leave nothing out: perhaps a mistyped value."""
        points = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*self.choices)]
        return [
            number
            for number, entry in enumerate(self.exclude)
            if not any(_matches(entry, point) for point in points)
        ]


def in_order(point: Point) -> Point:
    """As its values are applied: an axis after those above it, whatever their order in the file."""
    return tuple(sorted(point, key=lambda layer: len(layer.path)))


def values(point: Point) -> dict[str, Json]:
    """Dotted path -> value, for people and for trial.json."""
    return {".".join(map(str, layer.path)): layer.value for layer in point}


Part = SweepFile | StageFile
"""What has a grid: a sweep, or one stage of it."""


def axis_paths(part: Part) -> list[str]:
    """Dotted path of every axis, in the file's order."""
    zipped = dict.fromkeys(path for entry in part.zip for path in entry)
    return [*part.grid, *zipped, *(search.space if (search := search_of(part)) else ())]


def search_of(part: Part) -> SearchConfig | None:
    """The search of a sweep that has one; stages have none."""
    return part.search if isinstance(part, SweepFile) else None


def search_axes(search: SearchConfig, points: Sequence[Mapping[str, Json]], file: str) -> Axes:
    """One axis, on which the settings of a search's trials move together."""
    faults = [f"search.space.{path}: {fault}" for path in search.space if (fault := _path_fault(path))]
    choices = tuple(_search_choice(point, file) for point in points)
    meet = (one + other for one, other in itertools.product(choices, repeat=2))
    if _nested(search.space):
        faults += overlaps(meet if search.is_adaptive else choices)  # its next proposals mix what these have
    return Axes((choices,), (), tuple(f"{file}: {fault}" for fault in faults))


def _search_choice(point: Mapping[str, Json], file: str) -> Choice:
    return tuple(
        Layer("search", file, f"search.space.{path}", tuple(path.split(".")), value)
        for path, value in point.items()
        if not _path_fault(path)
    )


def make_axes(part: Part, file: str, ladder: tuple[int | str, ...], prefix: str = "") -> Axes:
    """Axes in the file's order, the zipped one last.

    `prefix` is where the part stands in the file, as `stages.adapt.`.
    """
    grid = {path: ladder if found == "ladder" else found for path, found in part.grid.items()}
    wrong = {**_path_faults(part.grid), **_ladder_faults(part, ladder)}
    choices = [
        _grid_axis(path, found, file, prefix) for path, found in grid.items() if f"grid.{path}" not in wrong
    ]
    if part.zip:
        entries = enumerate(part.zip)
        choices.append(tuple(_zip_choice(number, entry, file, prefix) for number, entry in entries))
    names = axis_paths(part)
    exclude = [entry for entry in part.exclude if all(axis_of(path, names) for path in entry)]
    faults = [*_zip_faults(part), *_exclude_faults(part), *(f"{place}: {wrong[place]}" for place in wrong)]
    said = [f"{file}: {prefix}{fault}" for fault in faults]
    if _nested(names):
        said += [f"{file}: {fault}" for fault in overlaps(Axes(tuple(choices), tuple(exclude)).points())]
    return Axes(tuple(choices), tuple(exclude), tuple(said))


def _nested(axes: Collection[str]) -> bool:
    """Whether one lies below another: points, perhaps thousands, need a look only then."""
    return any(axis_of(path.rpartition(".")[0], axes) for path in axes)


def _grid_axis(path: str, found: list[Json] | tuple[Json, ...], file: str, prefix: str) -> tuple[Choice, ...]:
    keys, name = tuple(path.split(".")), f"{prefix}grid.{path}"
    return tuple((Layer("grid", file, name, keys, value, index),) for index, value in enumerate(found))


def _zip_choice(number: int, entry: Mapping[str, Json], file: str, prefix: str) -> Choice:
    return tuple(
        Layer("zip", file, f"{prefix}zip[{number}].{path}", tuple(path.split(".")), value)
        for path, value in entry.items()
        if not _path_fault(path)
    )


def _path_fault(path: str) -> str | None:
    return None if all(path.split(".")) else "a path is keys joined by dots, as optimizer.lr"


def _path_faults(grid: Iterable[str]) -> dict[str, str]:
    return {f"grid.{path}": fault for path in grid if (fault := _path_fault(path))}


def _ladder_faults(part: Part, ladder: tuple[int | str, ...]) -> dict[str, str]:
    asking = [path for path, found in part.grid.items() if found == "ladder"]
    misplaced = f"found 'ladder'; allowed: a list; the ladder is for {LADDER_AXIS}"
    faults = {f"grid.{path}": misplaced for path in asking if path != LADDER_AXIS}
    if LADDER_AXIS in asking and not ladder:
        faults[f"grid.{LADDER_AXIS}"] = "found 'ladder', but the data profile has none; give a list of sizes"
    return faults


def _zip_faults(part: Part) -> Iterator[str]:
    expected = list(part.zip[0]) if part.zip else []
    for number, entry in enumerate(part.zip):
        for path in entry:
            if fault := _path_fault(path):
                yield f"zip[{number}].{path}: {fault}"
            elif path in part.grid:
                yield f"zip[{number}].{path}: it is an axis of grid too; keep one of them"
            elif path not in expected:
                yield f"zip[{number}].{path}: missing from zip[0]; each entry gives the same paths"
        yield from (
            f"zip[{number}]: {path} is missing; zip[0] gives it" for path in expected if path not in entry
        )


def _exclude_faults(part: Part) -> Iterator[str]:
    axes = axis_paths(part)
    for number, entry in enumerate(part.exclude):
        for path in entry:
            if axis_of(path, axes) is None:
                allowed = ", ".join(axes) or "none"
                yield f"exclude[{number}].{path}: no axis; there are: {allowed}{did_you_mean(path, axes)}"


def axis_of(path: str, axes: Collection[str]) -> str | None:
    """The axis a path lies on: itself, or the nearest one above it."""
    above = [axis for axis in axes if path == axis or path.startswith(f"{axis}.")]
    return max(above, key=len, default=None)


def _matches(entry: Mapping[str, Json], point: Point) -> bool:
    found = values(point)
    return all(matches_path(path, value, found) for path, value in entry.items())


def matches_path(path: str, value: Json, point: Mapping[str, Json]) -> bool:
    """Whether a point has a wanted value at a path that is one of its axes, or below one."""
    axis = axis_of(path, point)
    if axis is None:
        return False
    try:
        found = look_up(point[axis], tuple(path[len(axis) + 1 :].split(".")) if path != axis else ())
    except KeyError:
        return False
    return matches_value(found, value)


def matches_value(found: Json, wanted: Json) -> bool:
    """Equal; or a mapping that holds all of a wanted mapping, or goes by the wanted name."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(key in found and matches_value(found[key], value) for key, value in wanted.items())
    if isinstance(found, dict) and isinstance(wanted, str):
        return bool(found.get("name") == wanted)
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def short(point: Mapping[str, Json]) -> str:
    """`method=joint, seed=0`: a point in one line."""
    return ", ".join(f"{path.split('.')[-1]}={_short_value(value)}" for path, value in point.items())


def _short_value(value: Json) -> str:
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    return value if isinstance(value, str) else shown(value)
