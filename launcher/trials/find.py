"""From a word on the command line to directories below `runs/`: sweeps by name, trials by id or path."""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from launcher.expand.selection import chosen_ids
from launcher.trial import Trial
from launcher.trials.plan import read_plan
from launcher.trials.prepare import read_config
from launcher.trials.progress import UNREADABLE
from launcher.words import several
from segda_core.errors import ConfigError, did_you_mean
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import read_parents

CANARIES = ".canary"
"""Folder below `runs/SWEEP` of its short trials; in it one for each executor and each state of the code."""


def trial_directories(sweep: Path) -> list[TrialFiles]:
    """Every trial below `runs/SWEEP`, by name."""
    return [TrialFiles(sweep / name) for name in trial_names(sweep)]


def trial_names(sweep: Path, holds: str = "trial.json") -> list[str]:
    """Name of every trial's directory below `runs/SWEEP` that has such a file, sorted."""
    with os.scandir(sweep) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    exists = os.path.exists  # of thousands: Path takes three times as long
    return [name for name in names if exists(f"{sweep}/{name}/{holds}")]


def canaries_of(sweep: Path) -> list[TrialFiles]:
    """Every canary of a sweep, by its directory."""
    return [TrialFiles(path.parent) for path in sorted(sweep.glob(f"{CANARIES}/*/*/trial.json"))]


def sweep_names(runs: Path) -> list[str]:
    """Names of the sweeps below the runs folder."""
    if not runs.is_dir():
        return []
    return sorted(entry.name for entry in runs.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def find_sweep(name: str, runs: Path) -> Path:
    """The directory of a sweep's trials."""
    names = sweep_names(runs)
    if name not in names:
        there = ", ".join(names) or "none"
        raise ConfigError([f"no sweep {name!r} in {runs}; there are: {there}{did_you_mean(name, names)}"])
    return runs / name


def find_trial(word: str, runs: Path, *, canaries: bool = False) -> TrialFiles:
    """The trial (canary too, if asked) with this path, id, or beginning of an id that no other one shares."""
    for path in (Path(word), runs / word):
        if (path / "trial.json").exists():
            return TrialFiles(path)
    sweeps = [runs / name for name in sweep_names(runs)]
    trials = [files for sweep in sweeps for files in trial_directories(sweep)]
    if canaries:
        trials += [files for sweep in sweeps for files in _newest(canaries_of(sweep))]
    found = [files for files in trials if files.root.name == word]
    found = found or [files for files in trials if files.root.name.startswith(word)]
    if len(found) == 1:
        return found[0]
    if found:
        paths = ", ".join(str(files.root) for files in found[:4])
        raise ConfigError(
            [f"{word!r} may be any of {len(found)} trials: {paths}; give more of the id, or a path"]
        )
    if word.rstrip("/") in (sweep.name for sweep in sweeps):
        raise ConfigError([f"{word!r} is a sweep, not a trial; `segda status {word}` lists its trials"])
    ids = [files.root.name for files in trials]
    raise ConfigError([f"no trial {word!r} in {runs}{did_you_mean(word, ids)}"])


def _newest(canaries: Sequence[TrialFiles]) -> list[TrialFiles]:
    """Of those that several states of the code had of one id, the one that was started last."""
    started = {files: files.attempts.stat().st_mtime for files in canaries if files.attempts.exists()}
    return list({files.root.name: files for files in sorted(started, key=started.__getitem__)}.values())


def choose(
    sweep: Path, only: Sequence[str], say: Callable[[str], None], place: str = "", planned: bool = False
) -> list[TrialFiles]:
    """Trials of a sweep that ids and `axis=value` choose, all without words; `place` is who gave the words.

    `planned`: those of the plan too that have no directory yet. `say` is told which ones `axis=value` does
    not reach, since there is no configuration of theirs to be read.
    """
    directories = trial_directories(sweep)
    known = {files.root.name for files in directories}
    unprepared = (
        [TrialFiles(sweep / each) for each in sorted(_planned(sweep, say) - known)] if planned else []
    )
    if not only:
        return [*directories, *unprepared]
    by_axis = any("=" in word for word in only)
    trials = dict(_readable(directories, say)) if by_axis else {}
    if unprepared and by_axis:
        say(f"not looked at: {several(len(unprepared), 'planned trial')} without files yet")
    others = known.union(files.root.name for files in unprepared) - trials.keys()
    chosen = chosen_ids(trials, only, place, sorted(others))
    return [files for files in [*directories, *unprepared] if files.root.name in chosen]


def _planned(sweep: Path, say: Callable[[str], None]) -> set[str]:
    try:
        return {*chain(*read_plan(sweep.parent, sweep.name).values())}
    except ConfigError as error:
        say(f"not looked at: {error}")
        return set()


def _readable(directories: Sequence[TrialFiles], say: Callable[[str], None]) -> Iterator[tuple[str, Trial]]:
    """By the directory's name, which is not what its id would be today where another version made it."""
    for files in directories:
        try:
            yield files.root.name, read_trial(files)
        except ConfigError as error:
            say(f"not looked at: {error}")


def read_trial(files: TrialFiles) -> Trial:
    """A trial as its directory holds it."""
    try:
        config = read_config(files)
    except PermissionError as error:
        raise ConfigError([f"{files.config}: cannot be read: {error.strerror}"]) from error
    try:
        content = read_json(files.trial) or {}
        parents = {parent.role: parent.files.root.name for parent in read_parents(files)}
        return Trial(content["sweep"], config, dict(content["point"]), content.get("stage"), parents)
    except UNREADABLE as error:
        fault = "delete it, `segda sweep` writes it again"
        raise ConfigError([f"{files.trial}: cannot be read: {error}; {fault}"]) from error
