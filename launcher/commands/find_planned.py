"""Finding a trial together with the sweep that makes it, whether it has run or not."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launcher.expand.compare import nearest
from launcher.expand.profile import SHIPPED, find_sweep_file
from launcher.search.adaptive import taken_up
from launcher.sweep import Expansion, Sweep, expand, load_sweep
from launcher.trial import Trial
from launcher.trials.find import find_trial, read_trial
from launcher.trials.plan import read_plan, sweep_file
from launcher.trials.prepare import read_config
from segda_core.errors import ConfigError
from segda_core.trials.layout import TrialFiles


@dataclass(frozen=True)
class PlannedTrial:
    """A trial with the sweep that makes it."""

    trial: Trial
    sweep: Sweep
    expansion: Expansion
    runs: Path
    """The folder that holds its results, or will."""


def find_planned(
    word: str, runs: Path, *, data: str | None = None, overrides: Sequence[str] = ()
) -> PlannedTrial:
    """The trial with this directory, id or beginning of an id, as its sweep file makes it today.

    One that has no directory yet may be called SWEEP/ID too. `ConfigError` where no sweep makes such a
    trial, or several trials are called so.
    """
    try:
        files = find_trial(word, runs)
    except ConfigError:
        found = _of_any_sweep(Path(word), runs, data, overrides)
        if len(found) > 1:
            names = ", ".join(f"{planned.sweep.name}/{planned.trial.id}" for planned in found[:4])
            several = f"{word!r} may be any of {len(found)} planned trials: {names}"
            raise ConfigError([f"{several}; give more of the id, or SWEEP/ID"]) from None
        if not found:
            raise
        return found[0]
    return _of_directory(files, data, overrides)


def _of_directory(files: TrialFiles, data: str | None, overrides: Sequence[str]) -> PlannedTrial:
    root, config = files.root.resolve(), read_config(files)
    planned = data or _planned_on(root) or config.data.name
    sweep = load_sweep(_file_of(root, planned), data=planned, overrides=overrides)
    sweep = taken_up(sweep, root.parent.parent)
    expansion = expand(sweep)
    found = _called(root.name, sweep, expansion, _runs_of(files))
    if not found:
        raise ConfigError([f"{files.root}: {_no_longer_made(read_trial(files), sweep, expansion)}"])
    return found[0]


def _file_of(root: Path, data: str) -> str:
    """The sweep file that made a directory's trial: the one it was launched from, or the one of that name."""
    launched = sweep_file(root.parent.parent, root.parent.name, data)
    if launched is not None and launched.is_file():
        return str(launched)
    try:
        return str(find_sweep_file(root.parent.name))
    except ConfigError as error:
        if launched is None:
            raise
        gone = f"{launched}, which {root.name} was launched from, is gone"
        raise ConfigError([f"{gone}; launch the sweep once from where its file is now"]) from error


def _planned_on(root: Path) -> str | None:
    """Data name under which a directory's trial is planned: that of its sweep, not of its stage."""
    plan = read_plan(root.parent.parent, root.parent.name)
    return next((data for data, ids in plan.items() if root.name in ids), None)


def _no_longer_made(trial: Trial, sweep: Sweep, expansion: Expansion) -> str:
    gone = f"{sweep.file} makes no such trial today (made with --set? give the same here)"
    other = nearest(trial, expansion.trials)
    if other is None:  # an adaptive search that begins anew
        return gone
    changes = ", ".join(f"{item.path} {item.there!r} instead of {item.here!r}" for item in other[1])
    near = f"the nearest it makes is {other[0]} with {changes or 'a new config version'}"
    return f"{gone}; {near}"


def _runs_of(files: TrialFiles) -> Path:
    """Two folders above the trial's, as it was written where that can be said."""
    written, real = files.root.parts, files.root.resolve()
    return (files.root if len(written) > 2 and written[-2:] == real.parts[-2:] else real).parent.parent


def _called(word: str, sweep: Sweep, expansion: Expansion, runs: Path) -> list[PlannedTrial]:
    exact = [trial for trial in expansion.trials if trial.id == word]
    near = [trial for trial in expansion.trials if trial.id.startswith(word)]
    return [PlannedTrial(trial, sweep, expansion, runs) for trial in exact or near]


def _of_any_sweep(word: Path, runs: Path, data: str | None, overrides: Sequence[str]) -> list[PlannedTrial]:
    """`word` is the beginning of an id, SWEEP/ID, or the path that its directory would have."""
    found: list[PlannedTrial] = []
    wanted, runs = word.parent.name, word.parent.parent if len(word.parts) > 2 else runs
    for name in _sweep_names() if word.name else ():
        if wanted not in ("", name):
            continue
        with suppress(ConfigError):  # an unfinished file says itself what it lacks; other sweeps can be read
            sweep = load_sweep(name, data=data, overrides=overrides)
            found += _called(word.name, sweep, expand(sweep), runs)
    return found


def _sweep_names() -> list[str]:
    folder = Path("sweeps") if Path("sweeps").is_dir() else SHIPPED
    return sorted(path.stem for path in folder.glob("*.yaml"))
