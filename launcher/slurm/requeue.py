"""Queueing a running job again, from inside it: after Slurm's signal before a time limit or a preemption."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from launcher.slurm.command import SlurmError, ask
from launcher.trials.outcome import Outcome, Status, read_outcome
from segda_core.files import read_json
from segda_core.trials.causes import MACHINE_CAUSES
from segda_core.trials.layout import AttemptFiles

TRIES, PAUSE_S = 5, 2.0

STARTS_IN_VAIN = 3
"""Starts in a row that meet the time limit before they gain a step, after which a job is not queued again."""

NO_STEP = f"no step within the time limit, {STARTS_IN_VAIN} times in a row; timeout_min allows more"


def goes_on(outcome: Outcome | None) -> bool:
    """Whether an attempt with this outcome is continued when its job starts again; None: it was killed."""
    if outcome is None or outcome.status is Status.SAVED:
        return True
    return outcome.status is Status.FAILED and outcome.cause in MACHINE_CAUSES


def in_vain(attempts: Sequence[AttemptFiles]) -> bool:
    """Whether the newest of a job's attempts, in order, all met its time limit without gaining a step."""
    newest = attempts[-STARTS_IN_VAIN:]
    return len(newest) == STARTS_IN_VAIN and all(map(_gained_nothing, newest))


def _gained_nothing(attempt: AttemptFiles) -> bool:
    outcome, begun = read_outcome(attempt), read_json(attempt.environment)
    if outcome is None or outcome.asked_by != "SIGUSR2":
        return False
    return begun is None or (outcome.step or 0) <= begun["first_step"]


@dataclass(frozen=True)
class JobNow:
    """A running job as its controller sees it."""

    running: bool
    """Neither cancelled, requeued nor started anew already, although its processes still run."""
    preempted: bool
    """Slurm takes its nodes away: without `preempt_send_user_signal` it sends TERM alone."""

    @classmethod
    def ask(cls, job_id: str, restart_count: int) -> "JobNow":
        """What the controller says of one start of the job; `SlurmError` where it says nothing.

        A start left over on a lost node runs no more, whatever runs elsewhere under the same number.
        """
        told = ask(["scontrol", "--oneliner", "show", "job", job_id])
        running = all(
            re.search(rf"\b{it}\b", told) for it in ("JobState=RUNNING", f"Restarts={restart_count}")
        )
        return cls(running, running and re.search(r"\bPreemptTime=\d", told) is not None)


def requeue(job_id: str, restart_count: int, asked_to_save: bool) -> bool:
    """Have Slurm end this start of a job and queue it again, if Slurm's signal meant that; whether it did.

    TERM alone may be a preemption or scancel, and scancel may follow a first signal: a job that was cancelled
    must not come back. Where the controller stays silent, a launcher will submit the trial again.
    """
    for _ in range(TRIES):
        try:
            now = JobNow.ask(job_id, restart_count)
            if not now.running or not (asked_to_save or now.preempted):
                return False
            ask(["scontrol", "requeue", job_id])
        except SlurmError as error:
            print(f"requeue: {error}", flush=True)
            time.sleep(PAUSE_S)
        else:
            return True
    return False
