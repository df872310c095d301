"""What an attempt begins with: a checkpoint to go on from, and what its trial's parents made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segda_core import checkpoint
from segda_core.config import TaskConfig
from segda_core.errors import ConfigError, DataError
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.parents import Record, read_parents


@dataclass(frozen=True)
class Start:
    """The same on every rank."""

    checkpoint: Path | None
    """None: from step 0."""
    since: int
    """First attempt that read the same of the parents: files that it and later ones made still count."""
    parents: Mapping[str, Record]
    """Role -> what is read of that parent; with a checkpoint, what was read when it was made."""
    paths: Mapping[str, Path]
    """Role -> verified file or folder; `init_from` only where there is no checkpoint."""

    def to_json(self) -> str:
        """For the other ranks."""
        paths = {role: str(path) for role, path in self.paths.items()}
        checkpoint = str(self.checkpoint) if self.checkpoint else None
        return json.dumps([checkpoint, self.since, dict(self.parents), paths])

    @classmethod
    def from_json(cls, text: str) -> "Start":
        """What rank 0 found."""
        found, since, parents, paths = json.loads(text)
        checkpoint = Path(found) if found else None
        return cls(checkpoint, since, parents, {role: Path(path) for role, path in paths.items()})


def find_start(config: TaskConfig, trial: TrialFiles, attempt: int) -> Start:
    """Resume unless a parent changed since; `DataError` where one is not done or its output is not there."""
    parents = {parent.role: parent for parent in read_parents(trial)}
    needed = {role for role, what in config.inputs.items() if what.required}
    if missing := sorted(needed - parents.keys()):
        raise ConfigError([f"{trial.trial}: names no parent for {', '.join(missing)}"])
    now = {role: parent.record() for role, parent in parents.items()}
    since, before = _attempts_with(trial, attempt, now)
    found = checkpoint.newest(trial, attempt, since)
    records = {role: (before.get(role) if found else None) or record for role, record in now.items()}
    read = {role: record for role, record in records.items() if record is not None}
    for role in parents.keys() - read.keys():
        raise DataError(f"{parents[role].files.metrics}: missing: the parent ({role}) is not done")
    opened = [role for role in parents if not (role == "init_from" and found)]
    return Start(found, since, read, {role: parents[role].open(read[role]) for role in opened})


def _attempts_with(
    trial: TrialFiles, newest: int, now: Mapping[str, Record | None]
) -> tuple[int, Mapping[str, Record]]:
    """(number of the first attempt since which nothing else was read of the parents, what was read)."""
    before: Mapping[str, Record] = {}
    for number in reversed([number for number in trial.attempt_numbers() if number <= newest]):
        read = _read_by(trial.attempt(number))
        if read is None:
            continue
        if any(
            record and record["sha256"] != read.get(role, {}).get("sha256") for role, record in now.items()
        ):
            return number + 1, before
        before = before or read
    return 1, before


def _read_by(attempt: AttemptFiles) -> Mapping[str, Record] | None:
    """What an attempt read of its parents; None where it ended before it read anything."""
    environment = read_json(attempt.environment)
    found: Mapping[str, Record] | None = None if environment is None else environment.get("parents")
    return found or None
