"""What slurmdbd says of our arrays that have left the queue; one that is slow is asked seldom."""

import time
from functools import cache

from launcher.slurm.command import SlurmError, ask

DAYS = 30
"""How far back it is asked about."""

KEEP_S = 30.0
"""Seconds that an answer is used for."""

SLOW_S = 2.0
"""An answer that took no longer costs nobody anything: a hundred arrays may be asked about one by one."""

PATIENCE_S, WINDOW_S = 15.0, 150.0
"""Seconds that longer ones may take together within so many, before everything not known yet stays so."""

States = dict[int | None, str]
"""Array index -> last state; None stands for a single job, and for the rest of a cancelled array."""


class Accounting:
    """The last answer for each array."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, States]] = {}
        self._spent = 0.0
        self._since = 0.0

    def states(self, name: str) -> States:
        """The states of an array's jobs; empty where the cluster has no slurmdbd, or nobody knows."""
        asked, states = self._known.get(name, (None, {}))
        now = time.monotonic()
        if (asked is not None and now - asked < KEEP_S) or self.is_given_up:
            return states
        states = _ask_sacct(name) or states
        self._known[name] = time.monotonic(), states
        self._count(time.monotonic() - now)
        return states

    @property
    def is_given_up(self) -> bool:
        """Whether it was so slow that it is not asked for a while."""
        return self._spent >= PATIENCE_S and time.monotonic() - self._since < WINDOW_S

    def _count(self, took: float) -> None:
        if time.monotonic() - self._since >= WINDOW_S:
            self._spent, self._since = 0.0, time.monotonic()
        if took > SLOW_S:
            self._spent += took


@cache
def accounting() -> Accounting:
    """The one of this process."""
    return Accounting()


def _ask_sacct(name: str) -> States:
    """Empty where it does not answer or knows nothing."""
    wanted = ["-X", "-n", "-P", f"--name={name}", f"--starttime=now-{DAYS}days", "--format=JobID,State"]
    try:
        lines = ask(["sacct", *wanted]).splitlines()
    except SlurmError:
        return {}
    pairs = (line.split("|") for line in lines)
    return {task_number(job_id.partition("_")[2]): state.split()[0] for job_id, state in pairs}


def task_number(task: str) -> int | None:
    """An array index as Slurm writes it; None for anything else."""
    return int(task) if task.isdecimal() else None
