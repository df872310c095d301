"""Our jobs as Slurm has them now: one squeue for all trials of a command, kept for a few seconds.

A job is looked up by its name and array index, never by its number: a controller that lost its state gives
numbers out again.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from launcher.slurm.command import NoSlurmError, SlurmError, ask
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles

KEEP_S = 2.0
"""Seconds that an answer is used for."""

KEEP_FAULT_S = 15.0
"""Seconds before a controller that did not answer is asked again."""

FIELDS = 6
"""Of a line about a job; others are the rest of a name that has line breaks, which ours have not."""

NO_SLURM = "no Slurm here to ask"

ENDED = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT"),
    }
)
"""States of a job that will not run; one of any other name runs or may yet."""

STANDING = {"SUSPENDED": "suspended", "STOPPED": "stopped"}
"""States of a job that keeps its place but does not move, and what people are told."""

ORDINARY = frozenset(
    {
        *("Priority", "Resources", "Dependency", "BeginTime", "JobArrayTaskLimit", "Licenses", "Prolog"),
        "Cleaning",
    }
)
"""Why jobs wait that will start by themselves; other reasons may never pass, and a user should know them."""

NOT_STARTED = frozenset({"launch failed requeued held", "JobHoldMaxRequeue"})
"""Why Slurm holds a job of which it could not start a single process, as where a node's prolog fails."""

BETWEEN = frozenset({"PREEMPTED", "NODE_FAIL"})
"""States that end a job, or last for the moment until Slurm has queued it again."""


@dataclass(frozen=True)
class Job:
    """One task of an array (or a single job)."""

    id: str
    state: str
    reason: str
    """Why it waits, in Slurm's words."""
    nodes: str = ""
    """Where it runs or ran, as `node[03-04]`; empty before it starts."""

    @property
    def is_active(self) -> bool:
        """Whether it runs or will run."""
        return self.state not in ENDED

    @property
    def is_waiting(self) -> bool:
        """Whether it waits to be started (again)."""
        return self.is_active and self.state not in ("RUNNING", "COMPLETING", *STANDING)

    @property
    def standstill(self) -> str:
        """Why it does not run, in Slurm's words; empty where it does, or Slurm has not said."""
        if self.state in STANDING:
            return STANDING[self.state]
        return self.reason if self.is_waiting and self.reason != "None" else ""

    @property
    def stands_oddly(self) -> bool:
        """Whether it may stand still for ever: held, suspended, or waiting for what it will not get."""
        return bool(self.standstill) and self.standstill not in ORDINARY

    @property
    def could_not_start(self) -> bool:
        """Whether Slurm failed to start it, and holds it until somebody releases it."""
        return self.is_waiting and self.reason.replace("_", " ") in NOT_STARTED

    @property
    def has_ended(self) -> bool:
        """Whether it ended for good, or will not start by itself again."""
        return self.could_not_start or (not self.is_active and self.state not in BETWEEN)


@dataclass(frozen=True)
class Sighting:
    """What Slurm says about one job."""

    job: Job | None
    """None: not in the queue, or there was no answer."""
    answered: bool = True
    gone: bool = False
    """Not in the queue although others of its array are: it ended long ago, or was cancelled before it
    started, of which Slurm keeps no trace."""
    fault: str = ""
    """Why there is no answer, and since when."""
    no_slurm: bool = False
    """This machine has no Slurm to ask."""


class Queue:
    """This user's jobs by name and array index."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, int | None], Job] = {}
        self._names: set[str] = set()
        self._until = 0.0
        self._fault: SlurmError | None = None
        self._silent_since = 0.0

    def find(self, name: str, index: int) -> Sighting:
        """What Slurm says about one job, at most `KEEP_S` ago."""
        self._refresh()
        if self._fault is None:
            job = self._jobs.get((name, index)) or self._jobs.get((name, None))
            return Sighting(job, gone=job is None and name in self._names)
        if isinstance(self._fault, NoSlurmError):
            return Sighting(None, answered=False, fault=NO_SLURM, no_slurm=True)
        since = time.strftime("%H:%M:%S", time.localtime(self._silent_since))
        return Sighting(None, answered=False, fault=f"unknown since {since}: {self._fault}")

    def active(self) -> int:
        """Jobs of this user that run or will run, whoever submitted them; 0 while there is no answer."""
        self._refresh()
        return sum(job.is_active for job in self._jobs.values())

    def look_again(self) -> None:
        """Ask anew at the next question."""
        self._until = 0.0

    def _refresh(self) -> None:
        if time.monotonic() < self._until:
            return
        try:
            self._jobs = _ask_squeue()
        except SlurmError as error:
            self._silent_since = self._silent_since if self._fault is not None else time.time()
            self._fault = error
        else:
            self._fault = None
            self._names = {name for name, _ in self._jobs}
        self._until = time.monotonic() + (KEEP_S if self._fault is None else KEEP_FAULT_S)


@cache
def queue() -> Queue:
    """The one of this process."""
    return Queue()


def job_of(attempt: AttemptFiles) -> Job | None:
    """What Slurm says of an attempt's job; None where it has none, or Slurm does not know or tell."""
    said = read_json(attempt.submission) or {}
    return queue().find(said["job_name"], said["array_index"]).job if "job_name" in said else None


def jobs_of(attempts: Sequence[AttemptFiles]) -> tuple[str, ...] | None:
    """Ids of the jobs of some attempts that have not ended; None where one cannot be told."""
    found: set[str] = set()
    for attempt in attempts:
        said = read_json(attempt.submission) or {}
        if "job_name" not in said:
            return None  # of another executor, or not submitted yet
        sighting = queue().find(said["job_name"], said["array_index"])
        if sighting.job is None and sighting.answered:  # perhaps younger than the last answer
            queue().look_again()
            sighting = queue().find(said["job_name"], said["array_index"])
        if not sighting.answered:
            return None
        if sighting.job is not None and not sighting.job.has_ended:
            found.add(sighting.job.id)
    return tuple(sorted(found))


def _ask_squeue() -> dict[tuple[str, int | None], Job]:
    """Every job of ours that the controller still knows, one for each task of an array.

    None stands for the index of a single job, and of the rest of an array that was cancelled as a whole.
    """
    wanted = ["--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
    lines = ask(["squeue", *wanted, "--format=%i|%K|%T|%r|%N|%j"]).splitlines()
    jobs, told = {}, (line.split("|", FIELDS - 1) for line in lines)
    for job_id, index, state, reason, nodes, name in (parts for parts in told if len(parts) == FIELDS):
        jobs[name, int(index) if index.isdecimal() else None] = Job(job_id, state, reason, nodes)
    return jobs
