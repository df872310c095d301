"""Finding a trial together with the sweep that makes it, whether it has run or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.find import find_trial
from launcher.prepare import read_config
from launcher.profile import SHIPPED
from launcher.sweep import Expansion, Sweep, expand, load_sweep
from launcher.trial import Trial
from segda_core.errors import ConfigError
from segda_core.layout import TrialFiles


@dataclass(frozen=True)
class PlannedTrial:
    """A trial with the sweep that makes it."""

    trial: Trial
    sweep: Sweep
    expansion: Expansion


def find_planned(
    word: str, runs: Path, *, data: str | None = None, overrides: Sequence[str] = ()
) -> PlannedTrial:
    """The trial with this directory, id or beginning of an id, as its sweep file makes it today.

    `ConfigError` where no sweep makes such a trial, or several trials are called so.
    """
    try:
        files = find_trial(word, runs)
    except ConfigError:
        found = [item for name in _sweep_names() for item in _called(word, name, data, overrides)]
        if len(found) != 1:
            raise
        return found[0]
    return _of_directory(files, data, overrides)


def _of_directory(files: TrialFiles, data: str | None, overrides: Sequence[str]) -> PlannedTrial:
    root = files.root.resolve()
    found = _called(root.name, root.parent.name, data or read_config(files).data.name, overrides)
    if not found:
        advice = "its file has changed, or the trial was made with --set (give the same here)"
        raise ConfigError([f"{files.root}: sweep {root.parent.name} makes no such trial today: {advice}"])
    return found[0]


def _called(word: str, sweep_name: str, data: str | None, overrides: Sequence[str]) -> list[PlannedTrial]:
    sweep = load_sweep(sweep_name, data=data, overrides=overrides)
    expansion = expand(sweep)
    exact = [trial for trial in expansion.trials if trial.id == word]
    near = [trial for trial in expansion.trials if trial.id.startswith(word)]
    return [PlannedTrial(trial, sweep, expansion) for trial in exact or near]


def _sweep_names() -> list[str]:
    folder = Path("sweeps") if Path("sweeps").is_dir() else SHIPPED
    return sorted(path.stem for path in folder.glob("*.yaml"))
