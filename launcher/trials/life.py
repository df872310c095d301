"""Whether an attempt still lives: by its scheduler's queue, its processes, or the signs of life it leaves."""

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from launcher.processes.process import on_this_machine, processes_of, still_runs
from launcher.slurm.queue import queue
from launcher.slurm.requeue import goes_on
from launcher.trials.outcome import Outcome, read_outcome
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles

SILENCE_S = 60.0
"""Seconds without a sign of life after which an attempt on another machine counts as dead."""

ENDS_WITH_LAUNCHER = ("local", "ray")
"""Executors whose attempts never start once their launcher is gone."""


@dataclass(frozen=True)
class Life:
    """What is known of an attempt that has not come to its end."""

    alive: bool
    waits: bool = False
    """Nothing of it runs now; its job is in a scheduler's queue, for the first time or again."""
    message: str = ""
    """Why it waits or stands still, or why nothing certain is known."""
    oddly: bool = False
    """Whether that may never pass by itself."""


DEAD = Life(alive=False)


def is_alive(attempt: AttemptFiles) -> bool:
    """Whether an attempt may still be running, or run again as the same job."""
    return life_of(attempt).alive


def life_of(attempt: AttemptFiles) -> Life:
    """Whether and how an attempt lives.

    An attempt in Slurm's queue lives while its job does, even where it saved and left: it is queued again.
    """
    outcome = read_outcome(attempt)
    submission = read_json(attempt.submission)
    if submission is not None and "job_name" in submission and goes_on(outcome):
        return _in_slurm(attempt, submission, outcome)
    return DEAD if outcome is not None else _by_signs(attempt, submission)


def file_system_time(folder: Path) -> float:
    """Now, by the clock of the file system that holds `folder`."""
    return time.time() + clock_offset(folder.parent.parent)


def _in_slurm(attempt: AttemptFiles, submission: dict[str, Any], outcome: Outcome | None) -> Life:
    sighting = queue().find(submission["job_name"], submission["array_index"])
    job, idle = sighting.job, outcome is not None or not attempt.runner(0).exists()
    if job is not None and job.has_ended:
        return DEAD
    if job is not None and job.is_active:
        reason = f"Slurm: {job.standstill}" if job.standstill else ""
        return Life(alive=True, waits=idle or job.is_waiting, message=reason, oddly=job.stands_oddly)
    if sighting.fault:  # a job that waits is taken to go on waiting, one that runs is judged by its heartbeat
        alive = idle or _is_recent(attempt)
        return Life(alive, waits=idle, message=sighting.fault, oddly=True)
    if idle and sighting.gone:
        return DEAD
    if outcome is not None:
        return Life(alive=job is not None and _is_recent(attempt), waits=True)
    return _by_signs(attempt, submission)


def _by_signs(attempt: AttemptFiles, submission: dict[str, Any] | None) -> Life:
    """On its own machine the runner's process decides (a local one dies with its launcher).

    Elsewhere, or before there is a runner, the heartbeat or the directory itself must have changed within the
    last minute by the file system's clock.
    """
    runner = read_json(attempt.runner(0))
    if runner is not None and on_this_machine(runner):
        return Life(alive=still_runs(runner))
    if runner is None and submission is not None and _never_starts(attempt, submission):
        return DEAD
    return Life(alive=_is_recent(attempt), waits=runner is None)


def _never_starts(attempt: AttemptFiles, submission: dict[str, Any]) -> bool:
    """Whether an attempt without a record of its runner never gets one.

    Its launcher died; or is this very process, and the runner it started is gone.
    """
    if submission["executor"] not in ENDS_WITH_LAUNCHER or not on_this_machine(submission):
        return False
    if submission["pid"] == os.getpid():
        return submission["executor"] == "local" and not processes_of(attempt.root)
    return not still_runs(submission)


def seconds_since(attempt: AttemptFiles) -> float:
    """Seconds, by the file system's clock, since an attempt said how it ended, or else lived."""
    try:
        last = attempt.outcome.stat().st_mtime
    except FileNotFoundError:
        last = _last_sign(attempt)
    return file_system_time(attempt.root.parent) - last


def _is_recent(attempt: AttemptFiles) -> bool:
    return file_system_time(attempt.root.parent) - _last_sign(attempt) < SILENCE_S


def _last_sign(attempt: AttemptFiles) -> float:
    """Of the heartbeat, or before it the directory: a launcher renews claims that it has not submitted."""
    for path in (attempt.heartbeat, attempt.root):
        with suppress(FileNotFoundError):
            return path.stat().st_mtime
    return 0.0  # deleted by hand


@cache
def clock_offset(folder: Path) -> float:
    """Seconds the file system is ahead of this machine; 0 where we cannot write, so cannot ask."""
    try:
        handle, probe = tempfile.mkstemp(dir=folder, prefix=".clock.")
    except OSError:  # read-only, full, or gone
        return 0.0
    try:
        return os.fstat(handle).st_mtime - time.time()
    finally:
        os.close(handle)
        Path(probe).unlink()
