"""One stage of a sweep, expanded: its points with their parents, each resolved, checked and made a trial."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launcher.expand.faults import Faults
from launcher.expand.layers import Layer, look_up, put
from launcher.expand.parents import Candidates, Chosen, choose, complaints, inherited, match_faults
from launcher.expand.points import (
    Axes,
    Point,
    axis_paths,
    in_order,
    make_axes,
    search_axes,
    search_of,
    values,
)
from launcher.expand.roles import problems_of_roles, unused_keys
from launcher.expand.siblings import Siblings, family_of
from launcher.expand.stages import Stage
from launcher.search.sample import random_points
from launcher.trial import Trial
from segda_core.config import Profile, TaskConfig, default_names
from segda_core.errors import ConfigError, Json, Problem
from segda_core.trials.tasks import TASK_CONFIGS

Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Expansion:
    """The trials of a sweep, or of one of its stages; parents come before their children."""

    trials: list[Trial] = field(default_factory=list)
    merged: list[tuple[dict[str, Json], str]] = field(default_factory=list)
    """Points that resolved to the configuration of an earlier one, with that trial's id."""
    notes: list[str] = field(default_factory=list)
    """What may not be meant, for people."""
    layers: dict[str, Layers] = field(default_factory=dict)
    """Trial id -> everything that went into the first point it came from, lowest first."""


@dataclass(frozen=True)
class Resolved:
    """One point with what it came to."""

    point: dict[str, Json]
    layers: Layers
    config: TaskConfig
    parents: dict[str, str]


class StageExpander:
    """Expands one stage, once those of its parents are."""

    def __init__(
        self, sweep: str, file: Path, stage: Stage, base: Mapping[str, Json], overrides: Layers
    ) -> None:
        """`base` is the sweep's own."""
        self._sweep = sweep
        self._file = file
        self._stage = stage
        self._overrides = overrides
        profile = Layer("profile", str(stage.profile_file), "trial", (), stage.profile.trial)
        self._lower = (profile, Layer("base", str(file), "base", (), base))
        self._axes = _axes(stage, str(file))
        self.faults = list(self._axes.faults)
        """What is wrong with the stage's axes."""
        self._fields = TASK_CONFIGS[stage.task].model_fields
        self._siblings = Siblings(TASK_CONFIGS[stage.task])
        self._below: dict[tuple[str, ...], tuple[Layers, Json]] = {}

    def expand(self, trials: Mapping[str, Sequence[Trial]], certain: bool = True) -> Expansion:
        """Every trial, validated; `trials` are those of earlier stages. `ConfigError` with every fault.

        Not `certain`: the file has faults elsewhere, so that only what is wrong whatever they are is one.
        """
        stage, paths = self._stage, axis_paths(self._stage.part)
        certain = certain and not self.faults
        found = {role: Candidates(trials[parent], paths, stage.match) for role, parent in stage.roles.items()}
        if certain and (faults := list(match_faults(stage, found))):
            raise ConfigError([f"{self._file}: {fault}" for fault in faults])
        resolved = self._resolve_all(found, certain)
        if certain and not resolved and stage.part.exclude:
            raise ConfigError([f"{self._file}: {stage.prefix}exclude: it leaves no point of the grid"])
        configs = [item.config for item in resolved]
        if certain and (faults := [f"{self._file}: {fault}" for fault in unused_keys(stage, configs)]):
            raise ConfigError(faults)
        prefix = f"{self._file}: {stage.prefix}"
        idle = [f"{prefix}exclude[{number}] matches no point" for number in self._axes.idle_excludes()]
        return self._unite(resolved, [*idle, *self._to_come()])

    def _to_come(self) -> Iterator[str]:
        search = search_of(self._stage.part)
        if search is None or not search.is_adaptive:
            return
        planned = len(self._stage.proposed)
        if planned < search.trials:
            left = search.trials - planned
            trials = "trial is" if left == 1 else "trials are"
            yield f"search: {left} more {trials} proposed as results come in"
        elif planned > search.trials:
            yield f"search: trials is {search.trials}, but {planned} were proposed before; all of them stay"

    def _resolve_all(self, candidates: Mapping[str, Candidates], certain: bool) -> list[Resolved]:
        faults, resolved = Faults(self._file, certain), []
        for point in self._axes.points():
            sets = choose(candidates, values(point), self._stage.match)
            if not sets or (len(sets) > 1 and point):
                told = complaints(self._stage, candidates, values(point), sets)
                faults.add([Problem((), text) for text in told], (), values(point))
                continue
            for chosen in sets:
                found = self._resolve(point, chosen)
                if isinstance(found, Resolved):
                    faults.count(found.layers)
                    resolved.append(found)
                else:
                    faults.add(found[0], found[1], values(point))
        if lines := [*self.faults, *faults.lines()]:
            raise ConfigError(lines)
        return resolved

    def _resolve(self, point: Point, chosen: Chosen) -> Resolved | tuple[list[Problem], Layers]:
        """The point with these parents, or its problems and the layers that may be to blame."""
        below, raw = self._beneath(point, chosen)
        above = (*in_order(point), *self._of_task(self._overrides))
        for layer in above:
            raw = put(raw, [str(key) for key in layer.path], layer.value)
        layers = (*below, *above)
        family = family_of(point, tuple(trial.id for trial in chosen.values()))
        checked = _moved_data(raw, self._stage.profile) or self._siblings.check(raw, family)
        if isinstance(checked, list):
            return checked, layers
        if problems := list(problems_of_roles(self._stage, checked, chosen)):
            return problems, layers
        parents = {role: chosen[role].id for role in checked.inputs if role in chosen}
        axes = {path: value for path, (_, value) in inherited(chosen).items()}
        return Resolved({**axes, **values(point)}, layers, checked, parents)

    def _beneath(self, point: Point, chosen: Chosen) -> tuple[Layers, Json]:
        """The layers below the grid and what they come to, made once for each set of parents."""
        key = tuple(trial.id for trial in chosen.values())
        if key not in self._below:
            base = Layer("base", str(self._file), f"{self._stage.prefix}base", (), self._stage.base)
            layers = (*self._of_task((*self._lower, *self._inherited(point, chosen))), base)
            task = {} if self._stage.task == "train" else {"task": self._stage.task}
            defaults = default_names(TASK_CONFIGS[self._stage.task])
            raw: Json = {"data": self._stage.profile.data.model_dump(), **task, **defaults}
            for layer in layers:
                raw = put(raw, [str(key) for key in layer.path], layer.value)
            self._below[key] = (layers if self._stage.base else layers[:-1]), raw
        return self._below[key]

    def _inherited(self, point: Point, chosen: Chosen) -> Iterator[Layer]:
        """The parents' axes, but for those inside something that this stage names itself, as its method."""
        own = [Layer("base", "", "", (), self._stage.base), *point]
        for path, (role, value) in inherited(chosen).items():
            keys = tuple(path.split("."))
            if path not in values(point) and not any(_names(layer, keys) for layer in own):
                yield Layer("parent", str(self._file), f"{self._stage.prefix}from.{role}", keys, value)

    def _of_task(self, layers: Sequence[Layer]) -> Layers:
        """What is meant for all stages, as far as this one's task has such settings."""
        if self._stage.task == "train":
            return tuple(layers)  # which has all of them, so that the others are mistakes
        kept = []
        for layer in layers:
            if layer.path:
                kept += [layer] if layer.path[0] in self._fields else []
            else:
                part = {key: value for key, value in layer.value.items() if key in self._fields}
                kept.append(Layer(layer.kind, layer.file, layer.prefix, (), part))
        return tuple(kept)

    def _unite(self, resolved: Sequence[Resolved], notes: list[str]) -> Expansion:
        """One trial for all points of one configuration; its `point` keeps what these points agree on."""
        trials: dict[str, Trial] = {}
        expansion = Expansion(notes=notes)
        for item in resolved:
            trial = Trial(self._sweep, item.config, item.point, self._stage.name, item.parents)
            known = trials.get(trial.id)
            if known is not None:
                expansion.merged.append((trial.point, trial.id))
                agreed = {path: value for path, value in known.point.items() if trial.point[path] == value}
                trial = Trial(self._sweep, known.config, agreed, known.stage, known.parents)
            trials[trial.id] = trial
            expansion.layers.setdefault(trial.id, item.layers)
        expansion.trials.extend(trials.values())
        return expansion


def _axes(stage: Stage, file: str) -> Axes:
    search = search_of(stage.part)
    if search is None:
        return make_axes(stage.part, file, stage.profile.ladder, stage.prefix)
    return search_axes(search, stage.proposed if search.is_adaptive else random_points(search), file)


def _names(layer: Layer, path: tuple[str, ...]) -> bool:
    """Whether a layer gives a mapping with a name at a path or above it."""
    for length in range(max(1, len(layer.path)), len(path) + 1):
        if path[: len(layer.path)] == layer.path:
            try:
                found = look_up(layer.value, path[len(layer.path) : length])
            except KeyError:
                return False
            if isinstance(found, dict) and "name" in found:
                return True
    return False


def _moved_data(raw: Json, profile: Profile) -> list[Problem]:
    """A trial that claims other data would share its id with other results."""
    data = raw["data"]
    if isinstance(data, dict) and (data.get("name"), data.get("version")) == (profile.name, profile.version):
        return []
    return [Problem(("data",), "a trial's data are its profile's; choose another with data: or --data")]
