"""Claiming a trial: one attempt at a time, made by mkdir, which succeeds for exactly one process."""

import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from launcher.process import end_processes, identity, on_this_machine, processes_of, still_runs
from segda_core.layout import AttemptFiles, TrialFiles, read_json, write_json
from segda_core.parents import Record

SILENCE_S = 60.0
"""Seconds without a sign of life after which an attempt on another machine counts as dead."""

ENDS_WITH_LAUNCHER = ("local", "ray")
"""Executors whose attempts never start once their launcher is gone."""

LEFTOVER_GRACE_S = 20.0
"""Seconds that workers of a dead attempt get to save before they are killed."""


@dataclass(frozen=True)
class Submission:
    """What a launcher says about an attempt before it submits it."""

    executor: str
    manifest_hash: str
    """Of the images the trial will use."""
    fresh: bool = False
    """Start anew: no checkpoint of an earlier attempt is resumed from."""
    snapshot: str | None = None
    """Name of the copy of the code below `runs/.code` that the attempt runs; None: the launcher's own."""
    parents: Mapping[str, Record] = field(default_factory=dict)
    """Role -> what the parent had made by then; without those that were not done."""
    launch_id: str = field(default_factory=lambda: secrets.token_hex(8))


def claim(files: TrialFiles, submission: Submission) -> AttemptFiles | None:
    """Make the trial's next attempt; None where it is done, or another launcher's attempt is alive.

    A fresh claim of a finished trial takes its result away, for the new attempt to publish its own.
    """
    numbers = files.attempt_numbers()
    if numbers and not _has_ended(files.attempt(numbers[-1])):
        return None
    if files.metrics.exists() and not submission.fresh:
        return None  # published before the attempt above ended: read after it
    attempt = files.attempt(numbers[-1] + 1 if numbers else 1)
    files.attempts.mkdir(exist_ok=True)
    try:
        attempt.root.mkdir()
    except FileExistsError:
        return None
    try:
        write_json(attempt.submission, {**asdict(submission), **identity(), "time": time.time()})
    except OSError:
        attempt.root.rmdir()  # a full disk: nobody shall wait for this attempt
        raise
    if submission.fresh:
        files.metrics.unlink(missing_ok=True)
    return attempt


def is_alive(attempt: AttemptFiles) -> bool:
    """Whether an attempt may still be running, by the signs of life it leaves.

    On its own machine the runner's process decides (a local one dies with its launcher); elsewhere, or before
    there is a runner, the heartbeat or the directory itself must have changed within the last minute by the
    file system's clock.
    """
    if attempt.outcome.exists():
        return False
    runner = read_json(attempt.runner(0))
    if runner is not None and on_this_machine(runner):
        return still_runs(runner)
    submission = read_json(attempt.submission)
    if runner is None and submission is not None and _never_starts(attempt, submission):
        return False
    return file_system_time(attempt.root.parent) - _last_sign(attempt) < SILENCE_S


def file_system_time(folder: Path) -> float:
    """Now, by the clock of the file system that holds `folder`."""
    return time.time() + clock_offset(folder.parent.parent)


def _has_ended(attempt: AttemptFiles) -> bool:
    """Whether nothing of the attempt runs any more; what a dead one left on this machine is ended."""
    if attempt.outcome.exists():
        return True
    if is_alive(attempt):
        return False
    end_processes(attempt.root, LEFTOVER_GRACE_S)
    return True


def _never_starts(attempt: AttemptFiles, submission: dict[str, object]) -> bool:
    """Whether an attempt without a record of its runner never gets one.

    Its launcher died; or is this very process, and the runner it started is gone.
    """
    if submission["executor"] not in ENDS_WITH_LAUNCHER or not on_this_machine(submission):
        return False
    if submission["pid"] == os.getpid():
        return submission["executor"] == "local" and not processes_of(attempt.root)
    return not still_runs(submission)


def _last_sign(attempt: AttemptFiles) -> float:
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
