"""Queueing a running job again, from inside it: after Slurm's signal before a time limit or a preemption."""

import re
import time
from typing import Any

from launcher.slurm.command import SlurmError, ask
from segda_core.layout import MACHINE_CAUSES

TRIES, PAUSE_S = 5, 2.0


def goes_on(outcome: dict[str, Any] | None) -> bool:
    """Whether an attempt with this outcome is continued when its job starts again; None: it was killed."""
    if outcome is None or outcome["status"] == "saved":
        return True
    return outcome["status"] == "failed" and outcome["cause"] in MACHINE_CAUSES


def is_preempted(job_id: str) -> bool:
    """Whether Slurm takes the job's nodes away: without `preempt_send_user_signal` it sends TERM alone."""
    try:
        told = ask(["scontrol", "--oneliner", "show", "job", job_id])
    except SlurmError:
        return False  # a silent controller requeues no job either
    running = re.search(r"\bJobState=RUNNING\b", told)
    return running is not None and re.search(r"\bPreemptTime=\d", told) is not None


def requeue(job_id: str) -> bool:
    """Have Slurm end the job and queue it again; False where it cannot: then a launcher submits the trial."""
    for _ in range(TRIES):
        try:
            ask(["scontrol", "requeue", job_id])
        except SlurmError as error:
            print(f"requeue: {error}", flush=True)
            time.sleep(PAUSE_S)
        else:
            return True
    return False
