"""A sweep file with its data profiles and the command line's settings, expanded into trials."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.executor_config import ExecutorConfig
from launcher.expansion import Expansion, StageExpander
from launcher.idle import idle
from launcher.layers import Layer, merge
from launcher.leaks import leaks
from launcher.points import Part, axis_paths
from launcher.profile import check_name, find_sweep_file, load_profile
from launcher.settings import choose_executor, override
from launcher.stages import Stage, ordered_parts
from launcher.sweep_file import StageFile, SweepFile
from launcher.trial import Trial
from segda_core.errors import ConfigError, Json, load_yaml, parse

__all__ = ["Expansion", "Sweep", "expand", "load_sweep"]

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

    def stage_of(self, trial: Trial) -> Stage:
        """The stage that makes a trial."""
        return next(stage for stage in self.stages if stage.name == trial.stage)


def load_sweep(
    name_or_path: str, *, data: str | None = None, executor: str | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Read `sweeps/NAME.yaml` (or a file) and its profiles; `ConfigError` with everything wrong in them."""
    file = find_sweep_file(name_or_path)
    model = parse(SweepFile, load_yaml(file), str(file))
    check_name(model.name, file)
    settings = [override(text) for text in overrides]
    written = model.executor.model_dump(exclude_unset=True)
    common = choose_executor(written, executor, settings, f"{file}: ")
    stages, faults = [], []
    for name, part in ordered_parts(model, file).items():
        try:
            stages.append(_stage(file, name, part, data or model.data, (written, executor, settings)))
        except ConfigError as error:
            faults += error.problems
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    trial_settings = tuple(layer for layer in settings if layer.path[0] != "executor")
    return Sweep(
        file, model, data or model.data or stages[0].profile.name, tuple(stages), common, trial_settings
    )


def expand(sweep: Sweep) -> Expansion:
    """Every trial, validated; `ConfigError` with every fault of every point, each once."""
    expanders: dict[str | None, StageExpander] = {}
    faults: list[str] = []
    for stage in sweep.stages:
        try:
            expanders[stage.name] = StageExpander(
                sweep.name, sweep.file, stage, sweep.model.base, sweep.overrides
            )
        except ConfigError as error:
            faults += error.problems
    if faults:
        raise ConfigError(faults)
    return _expand_in_order(sweep, expanders)


def _expand_in_order(sweep: Sweep, expanders: Mapping[str | None, StageExpander]) -> Expansion:
    """A stage with faults says them, and those that need its trials say nothing."""
    done: dict[str, Expansion] = {}
    faults: list[str] = []
    for stage in sweep.stages:
        if all(parent in done for parent in stage.roles.values()):
            try:
                trials = {parent: done[parent].trials for parent in stage.roles.values()}
                done[stage.name or ""] = expanders[stage.name].expand(trials)
            except ConfigError as error:
                faults += error.problems
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
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


def _stage(file: Path, name: str | None, part: Part, data: str | None, executor: Choice) -> Stage:
    """One stage with its profile and executor."""
    own = part if isinstance(part, StageFile) else StageFile(task="train")
    data = own.data or data
    if data is None:
        raise ConfigError([f"{file}: data: missing; name a data profile there or with --data"])
    profile_file, profile = load_profile(data, beside=file.parent)
    written, chosen, settings = executor
    where = f"{file}: " if name is None else f"{file}: stages.{name}."
    whole = merge({"name": "local", **written}, own.executor)
    return Stage(name, part, profile_file, profile, choose_executor(whole, chosen, settings, where))
