"""A sweep file with its data profiles and the command line's settings, expanded into trials."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from launcher.expand.executor_config import ExecutorConfig, LocalConfig
from launcher.expand.expansion import Expansion, StageExpander
from launcher.expand.idle import idle
from launcher.expand.layers import Layer, merge
from launcher.expand.leaks import leaks
from launcher.expand.points import axis_paths
from launcher.expand.profile import check_name, find_sweep_file, load_profile
from launcher.expand.reading import read_sweep_file
from launcher.expand.settings import choose_executor, override
from launcher.expand.stages import Stage, first_parts, ordered_parts
from launcher.expand.sweep_file import StageFile, SweepFile
from segda_core.config import Profile
from segda_core.errors import ConfigError, Json

__all__ = ["Expansion", "Sweep", "expand", "load_sweep"]

P = ParamSpec("P")
T = TypeVar("T")

Choice = tuple[Json, str | None, Sequence[Layer]]
"""The executor as the sweep file has it, the command line's name for another, and its settings."""


@dataclass(frozen=True)
class Sweep:
    """Everything the user wrote about a sweep, read and checked as far as it goes without its trials."""

    file: Path
    model: SweepFile
    data: str
    """Name of the data profile, of which a stage may have another; the plan goes by it."""
    stages: tuple[Stage, ...]
    """Parents first; a sweep without stages has one without a name."""
    executor: ExecutorConfig
    """Of which a stage may have another."""
    overrides: tuple[Layer, ...] = ()
    """`--set` of trials' settings, in order."""

    @property
    def name(self) -> str:
        """Results lie in `runs/NAME`."""
        return self.model.name

    @property
    def axes(self) -> list[str]:
        """Dotted path of every axis."""
        return list(dict.fromkeys(path for stage in self.stages for path in axis_paths(stage.part)))


@dataclass
class _Told:
    """Faults so far, so that what does not depend on them is looked at too."""

    faults: list[str] = field(default_factory=list)
    certain: bool = True
    """Whether the trials are those that are meant, whatever the faults are."""

    def of(self, step: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T | None:
        """What a step gives; None where it is faulty."""
        try:
            return step(*arguments, **options)
        except ConfigError as error:
            self.faults += error.problems
            return None


def load_sweep(
    name_or_path: str, *, data: str | None = None, executor: str | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Read `sweeps/NAME.yaml` (or a file) and its profiles; `ConfigError` with everything wrong in them.

    Where there is anything, then also with what is wrong in its trials.
    """
    file = find_sweep_file(name_or_path)
    reading = read_sweep_file(file)
    model, told = reading.model, _Told([f"{file}: {fault}" for fault in reading.faults], reading.certain)
    told.of(check_name, model.name, file)
    settings = [layer for text in overrides if (layer := told.of(override, text)) is not None]
    told.certain = told.certain and len(settings) == len(overrides)
    choice = (model.executor.model_dump(exclude_unset=True), executor, settings)
    common = told.of(choose_executor, *choice, f"{file}: ") if reading.knows_executor else None
    stages = _stages(told, file, model, data or model.data, choice if common is not None else None)
    trial_settings = tuple(layer for layer in settings if layer.path[0] != "executor")
    plan_data = data or model.data or (stages[0].profile.name if stages else "")
    sweep = Sweep(file, model, plan_data, stages, common or LocalConfig(), trial_settings)
    if told.faults:
        told.of(_expand_in_order, sweep, told.certain)
        raise ConfigError(list(dict.fromkeys(told.faults)))
    return sweep


def expand(sweep: Sweep) -> Expansion:
    """Every trial, validated; `ConfigError` with every fault of every point, each once."""
    return _expand_in_order(sweep, certain=True)


def _expand_in_order(sweep: Sweep, certain: bool) -> Expansion:
    """A stage with faults says them, and those that need its trials say no more than their axes'."""
    told, done = _Told(), dict[str, Expansion]()
    for stage in sweep.stages:
        expander = StageExpander(sweep.name, sweep.file, stage, sweep.model.base, sweep.overrides)
        if all(parent in done for parent in stage.roles.values()):
            trials = {parent: done[parent].trials for parent in stage.roles.values()}
            expansion = told.of(expander.expand, trials, certain)
            if expansion is not None:
                done[stage.name or ""] = expansion
        else:
            told.faults += expander.faults
    if told.faults:
        raise ConfigError(list(dict.fromkeys(told.faults)))
    return _joined(done.values())


def _joined(parts: Iterable[Expansion]) -> Expansion:
    whole = Expansion()
    for part in parts:
        whole.trials.extend(part.trials)
        whole.merged.extend(part.merged)
        whole.notes.extend(part.notes)
        whole.layers.update(part.layers)
    whole.notes.extend([*leaks(whole.trials), *idle(whole.trials)])
    return whole


def _stages(
    told: _Told, file: Path, model: SweepFile, data: str | None, choice: Choice | None
) -> tuple[Stage, ...]:
    """Every stage with its profile and, where `choice` is right, its executor; faults leave some out."""
    parts = told.of(ordered_parts, model, file)
    if parts is None:
        parts, told.certain = first_parts(model), False
    stages = []
    for name, part in parts.items():
        own = part if isinstance(part, StageFile) else StageFile(task="train")
        profile = _profile(told, file, own.data or data)
        executor = None if choice is None else told.of(_executor, file, name, own, choice)
        if profile is not None:
            stages.append(Stage(name, part, *profile, executor or LocalConfig()))
    return tuple(stages)


def _profile(told: _Told, file: Path, data: str | None) -> tuple[Path, Profile] | None:
    if data is not None:
        return told.of(load_profile, data, beside=file.parent)
    if told.certain:
        told.faults.append(f"{file}: data: missing; name a data profile there or with --data")
    return None


def _executor(file: Path, name: str | None, own: StageFile, choice: Choice) -> ExecutorConfig:
    written, chosen, settings = choice
    where = f"{file}: " if name is None else f"{file}: stages.{name}."
    return choose_executor(merge({"name": "local", **written}, own.executor), chosen, settings, where)
