"""A sweep file with its data profile and the command line's settings, expanded into trials."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launcher.executor_config import ExecutorConfig
from launcher.faults import Faults
from launcher.layers import Layer, merge, put
from launcher.points import Point, in_order, make_axes, values
from launcher.profile import SHIPPED, check_name, find_yaml, load_profile
from launcher.sweep_file import SweepFile
from launcher.trial import Trial
from segda_core.config import Frozen, Profile, TrialConfig
from segda_core.errors import ConfigError, Json, Problem, check, load_yaml, parse, parse_yaml


@dataclass(frozen=True)
class Sweep:
    """Everything the user wrote about a sweep, read and checked as far as it goes without its trials."""

    file: Path
    model: SweepFile
    profile_file: Path
    profile: Profile
    executor: ExecutorConfig
    overrides: tuple[Layer, ...] = ()
    """`--set` of trials' settings, in order."""

    @property
    def name(self) -> str:
        """Results lie in `runs/NAME`."""
        return self.model.name

    @property
    def data(self) -> str:
        """Name of the data profile."""
        return self.profile.name

    @property
    def fixed_layers(self) -> tuple[Layer, Layer]:
        """What all points stand on: the profile's part, then `base`."""
        return (
            Layer("profile", str(self.profile_file), "trial", (), self.profile.trial),
            Layer("base", str(self.file), "base", (), self.model.base),
        )

    @property
    def axes(self) -> list[str]:
        """Dotted path of every axis."""
        return [*self.model.grid, *dict.fromkeys(path for entry in self.model.zip for path in entry)]

    def layers(self, point: Point) -> tuple[Layer, ...]:
        """Everything that goes into the trial of a point, lowest first; defaults lie below."""
        return (*self.fixed_layers, *in_order(point), *self.overrides)


@dataclass(frozen=True)
class Expansion:
    """The trials of a sweep on its data profile."""

    trials: list[Trial]
    merged: list[tuple[dict[str, Json], str]] = field(default_factory=list)
    """Points that resolved to the configuration of an earlier one, with that trial's id."""
    notes: list[str] = field(default_factory=list)
    """What may not be meant, for people."""
    points: dict[str, Point] = field(default_factory=dict)
    """Trial id -> the first point it came from."""


def load_sweep(
    name_or_path: str, *, data: str | None = None, executor: str | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Read `sweeps/NAME.yaml` (or a file) and its profile; `ConfigError` with everything wrong in them."""
    file = find_yaml(name_or_path, [Path("sweeps"), SHIPPED], "sweep")
    model = parse(SweepFile, load_yaml(file), str(file))
    check_name(model.name, file)
    profile_file, profile = load_profile(_profile_name(data or model.data, file), beside=file.parent)
    settings = [_override(text) for text in overrides]
    return Sweep(
        file=file,
        model=model,
        profile_file=profile_file,
        profile=profile,
        executor=_executor(model.executor, executor, settings),
        overrides=tuple(layer for layer in settings if layer.path[0] != "executor"),
    )


def expand(sweep: Sweep) -> Expansion:
    """Every trial, validated; `ConfigError` with every fault of every point, each once."""
    axes = make_axes(sweep.model, str(sweep.file), sweep.profile.ladder)
    base: Json = {"data": sweep.profile.data.model_dump()}
    for layer in sweep.fixed_layers:
        base = merge(base, layer.value)
    faults = Faults(sweep.file)
    resolved: list[tuple[Point, TrialConfig]] = []
    for point in axes.points():
        raw = _resolve(base, (*in_order(point), *sweep.overrides))
        checked = _moved_data(raw, sweep.profile) or check(TrialConfig, raw)
        if isinstance(checked, list):
            faults.add(checked, sweep.layers(point), values(point))
        else:
            faults.count()
            resolved.append((point, checked))
    faults.check()
    if not resolved:
        raise ConfigError([f"{sweep.file}: exclude: it leaves no point of the grid"])
    notes = [f"{sweep.file}: exclude[{number}] matches no point" for number in axes.idle_excludes()]
    return _unite(sweep, resolved, notes)


def _resolve(base: Json, layers: Sequence[Layer]) -> Json:
    for layer in layers:
        base = put(base, [str(key) for key in layer.path], layer.value)
    return base


def _unite(sweep: Sweep, resolved: list[tuple[Point, TrialConfig]], notes: list[str]) -> Expansion:
    """One trial for all points of one configuration; its `point` keeps what these points agree on."""
    trials: dict[str, Trial] = {}
    first: dict[str, Point] = {}
    merged: list[tuple[dict[str, Json], str]] = []
    for point, config in resolved:
        trial = Trial(sweep.name, config, values(point))
        known = trials.get(trial.id)
        if known is not None:
            merged.append((trial.point, trial.id))
            agreed = {path: value for path, value in known.point.items() if trial.point[path] == value}
            trial = Trial(sweep.name, known.config, agreed)
        trials[trial.id] = trial
        first.setdefault(trial.id, point)
    return Expansion(list(trials.values()), merged, notes, first)


def _moved_data(raw: Json, profile: Profile) -> list[Problem]:
    """A trial that claims other data would share its id with other results."""
    data = raw["data"]
    if isinstance(data, dict) and (data.get("name"), data.get("version")) == (profile.name, profile.version):
        return []
    return [Problem(("data",), "a trial's data are its profile's; choose another with data: or --data")]


def _profile_name(name: str | None, file: Path) -> str:
    if name is None:
        raise ConfigError([f"{file}: data: missing; name a data profile there or with --data"])
    return name


def _override(text: str) -> Layer:
    path, equals, value = text.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        raise ConfigError([f"--set {text}: allowed: path=value, as optimizer.lr=1.0e-3"])
    try:
        return Layer("--set", "--set", path.strip(), keys, parse_yaml(value))
    except ValueError as error:
        raise ConfigError([f"--set {text}: {error}"]) from error


class _Chosen(Frozen):
    """The executor of a sweep file with the command line's settings over it."""

    executor: ExecutorConfig


def _executor(written: ExecutorConfig, name: str | None, settings: Sequence[Layer]) -> ExecutorConfig:
    raw: Json = {"executor": written.model_dump(exclude_unset=True)}
    if name is not None:
        raw = merge(raw, {"executor": {"name": name}})
    for layer in settings:
        if layer.path[0] == "executor":
            raw = put(raw, [str(key) for key in layer.path], layer.value)
    return parse(_Chosen, raw, "--executor" if name is not None else "--set").executor
