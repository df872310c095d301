"""Claiming a trial: one attempt at a time, made by mkdir, which succeeds for exactly one process."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from launcher.processes.process import end_processes, identity
from launcher.slurm.cancel import cancel_held
from launcher.trials.life import is_alive
from launcher.trials.prepare import renew
from segda_core.config import TaskConfig
from segda_core.files import write_json
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.parents import Record

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
    canary: str | None = None
    """Path, below the sweep's folder, of the short trial without whose result this one shall not begin."""
    launch_id: str = field(default_factory=lambda: secrets.token_hex(8))


def claim(files: TrialFiles, submission: Submission, config: TaskConfig | None = None) -> AttemptFiles | None:
    """Make the trial's next attempt; None where it is done, or another launcher's attempt is alive.

    `config` are its settings as of today. A fresh claim of a finished trial takes its result away, for the
    new attempt to publish its own.
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
        if config is not None:
            renew(files, config)
        write_json(attempt.submission, {**asdict(submission), **identity(), "time": time.time()})
    except OSError:
        attempt.root.rmdir()  # a full disk: nobody shall wait for this attempt
        raise
    if submission.fresh:
        files.metrics.unlink(missing_ok=True)
    return attempt


def _has_ended(attempt: AttemptFiles) -> bool:
    """Whether nothing of the attempt runs any more; what a dead one left here, or in a queue, is ended."""
    if is_alive(attempt):
        return False
    cancel_held(attempt)
    if attempt.outcome.exists():
        return True
    end_processes(attempt.root, LEFTOVER_GRACE_S)
    return True
