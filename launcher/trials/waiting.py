"""Whether a trial's parents are done, and if not, whether waiting for them makes sense."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from launcher.processes.process import on_this_machine, still_runs
from launcher.slurm.queue import jobs_of
from launcher.status import read_status
from launcher.trials.life import ENDS_WITH_LAUNCHER, is_alive, seconds_since
from launcher.trials.states import State, TrialStatus
from segda_core.files import read_json
from segda_core.trials.causes import MACHINE_CAUSES
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.parents import read_parents
from segda_core.trials.trial_history import counted_attempts

PAUSE_AT_MOST_S = 75.0
"""Seconds after an attempt's end in which its launcher, where it has room, begins the next."""

CANARY = "canary"
"""Stage of the short trials that others wait for, see `launcher.launching.canary`."""


@dataclass(frozen=True)
class Wait:
    """A trial waits for this parent."""

    parent: TrialFiles
    in_vain: str | None = None
    """Why nobody finishes it; None where somebody is at it."""


def find_waits(parents: Sequence[TrialFiles], is_ours: Callable[[str], bool]) -> list[Wait]:
    """The parents that are not done.

    `is_ours` says of an id whether this launch is not through with it: an old result is then about to go.
    """
    return [wait for parent in parents if (wait := _wait_for(parent, is_ours)) is not None]


def newest_attempt(files: TrialFiles) -> AttemptFiles | None:
    """A trial's newest attempt, if it has any."""
    numbers = files.attempt_numbers()
    return files.attempt(numbers[-1]) if numbers else None


def is_being_submitted(files: TrialFiles) -> bool:
    """Whether a launcher has claimed the trial for a cluster, and its job is not in the queue yet.

    An attempt says which job it becomes before it is submitted: who finds none may have come too early.
    """
    newest = newest_attempt(files)
    if newest is None or newest.runner(0).exists() or not is_alive(newest):
        return False
    said = read_json(newest.submission)
    if said is None:  # claimed this moment
        return True
    named = "job_name" in said
    return jobs_of([newest]) == () if named else said["executor"] not in ENDS_WITH_LAUNCHER


def has_begun(files: TrialFiles) -> bool:
    """Whether a worker of the trial has ever started: it may have checkpoints to go on from."""
    attempts = (files.attempt(number) for number in files.attempt_numbers())
    return any(attempt.environment.exists() for attempt in attempts)


def absent_parents(files: TrialFiles) -> list[TrialFiles]:
    """Parents, or the canary, that a trial lacks which has not begun, or not since it starts anew."""
    newest = newest_attempt(files)
    counted = [] if newest is None else counted_attempts(files, newest.number)
    if any(attempt.environment.exists() for attempt in counted):
        return []
    awaited = [parent.files for parent in read_parents(files)]
    said = None if newest is None else read_json(newest.submission)
    if name := (said or {}).get("canary"):
        canary = TrialFiles(files.root.parent / name)
        awaited += [] if _lacks_its_own(canary) else [canary]
    return list(dict.fromkeys(each for each in awaited if not each.metrics.exists()))


def _wait_for(parent: TrialFiles, is_ours: Callable[[str], bool]) -> Wait | None:
    if is_ours(parent.root.name):
        return Wait(parent)
    if parent.metrics.exists():
        return None
    status = read_status(parent)
    if status.metrics is not None:
        return None
    if status.state in (State.RUNNING, State.QUEUED) or _pauses(parent, status):
        return Wait(parent)
    if _lacks_its_own(parent):
        return None
    why = f"{status.state} ({status.cause})" if status.cause else str(status.state)
    return Wait(parent, in_vain=why)


def _pauses(parent: TrialFiles, status: TrialStatus) -> bool:
    """Whether who made its last attempt may be about to try again what the machine broke."""
    newest = newest_attempt(parent)
    if newest is None or (status.not_again and not status.came_too_early):
        return False
    if status.state is not State.MISSING and status.cause not in MACHINE_CAUSES:
        return False
    said = read_json(newest.submission)
    if said is None or (on_this_machine(said) and (said["pid"] == os.getpid() or not still_runs(said))):
        return False
    return seconds_since(newest) < PAUSE_AT_MOST_S


def _lacks_its_own(files: TrialFiles) -> bool:
    """Whether this is a canary whose parents are not done: it says nothing then of who has theirs."""
    is_canary = (read_json(files.trial) or {}).get("stage") == CANARY
    return is_canary and any(not parent.files.metrics.exists() for parent in read_parents(files))
