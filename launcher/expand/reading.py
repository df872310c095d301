"""Reading a sweep file as far as its faults allow, to tell these together with those of its trials."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from launcher.expand.layers import look_up
from launcher.expand.sweep_file import StageFile, SweepFile
from segda_core.errors import ConfigError, Json, KeyPath, Problem, check, closest, load_yaml, parse

APART = {"name", "description", "executor"}
"""Keys that no trial's configuration depends on."""

CAN_LACK = {"base", "grid", "zip", "exclude", "match", "executor"}
"""Keys of a stage without which its place among the others is still known."""


@dataclass(frozen=True)
class Reading:
    """A sweep file without what is wrong in it."""

    model: SweepFile
    faults: list[Problem]
    certain: bool
    """Whether its trials are those that are meant, whatever was wrong."""

    @property
    def knows_executor(self) -> bool:
        """Whether its executor is the one that is meant."""
        return all(problem.path[0] != "executor" for problem in self.faults)


def read_sweep_file(file: Path) -> Reading:
    """The file with unknown keys as they are meant; `ConfigError` where its faults leave too little."""
    raw = load_yaml(file)
    checked = check(SweepFile, raw)
    if isinstance(checked, SweepFile) or not isinstance(raw, dict):
        return Reading(parse(SweepFile, raw, str(file)), [], certain=True)
    faults, certain = checked, True
    raw = _as_meant(raw, checked)
    checked = check(SweepFile, raw)
    if isinstance(checked, list):
        faults = list(dict.fromkeys([*faults, *checked]))
        certain = all(problem.path and problem.path[0] in APART for problem in checked)
        if all(map(_is_separable, checked)):
            checked = check(SweepFile, {"name": file.stem, **_without(raw, checked)})
    if isinstance(checked, list):
        faults += [problem for problem in checked if not problem.path and problem not in faults]
        raise ConfigError([f"{file}: {problem}" for problem in faults])
    return Reading(checked, faults, certain)


def _as_meant(raw: Json, faults: Iterable[Problem]) -> Json:
    """With each unknown key as the one it looks like, unless that is given too."""
    meant = deepcopy(raw)
    for *above, key in (problem.path for problem in faults if problem.of_key):
        in_stage = len(above) == 2 and above[0] == "stages"
        if (above and not in_stage) or "." in str(key):
            continue
        model, owner = StageFile if in_stage else SweepFile, look_up(meant, tuple(above))
        near = closest(str(key), [field.alias or name for name, field in model.model_fields.items()])
        if near is not None and near not in owner:
            owner[near] = owner.pop(key)
    return meant


def _without(raw: Json, faults: Iterable[Problem]) -> Json:
    """Without what is wrong, and without `exclude` beside it, which may name an axis that is left out."""
    left = deepcopy(raw)
    for *above, key in (_part(problem.path) for problem in faults):
        owner = look_up(left, tuple(above))
        owner.pop(key, None)
        if key not in APART:
            look_up(left, tuple(above[:2]) if above[:1] == ["stages"] else ()).pop("exclude", None)
    return left


def _part(path: KeyPath) -> KeyPath:
    """The smallest part that can be left out: an axis of the grid, else a key of the sweep or stage."""
    start = 2 if path[0] == "stages" else 0
    return path[: start + (2 if path[start : start + 1] == ("grid",) else 1)]


def _is_separable(problem: Problem) -> bool:
    """Whether what is left without it still says which stages there are, and what they take."""
    path = problem.path
    return bool(path) and (path[0] != "stages" or (len(path) > 2 and path[2] in CAN_LACK))
