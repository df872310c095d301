"""How a job that left no word itself ended: by the queue, by accounting, or by jobcomp's text file."""

import re
import time
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

from launcher.slurm.accounting import States, accounting, task_number
from launcher.slurm.limits import configuration
from launcher.slurm.queue import ENDED, queue

HELD, NOT_LAUNCHED = "HELD", "NOT_LAUNCHED"
"""Not states of Slurm's: it could not start the job and holds it, or has given it up."""

CAUSES = {
    "NODE_FAIL": ("node", "its node failed"),
    "BOOT_FAIL": ("node", "its node did not boot"),
    "OUT_OF_MEMORY": ("oom", "Slurm ended it because memory (RAM) ran out; mem_gb asks for more"),
    "TIMEOUT": ("timeout", "Slurm ended it at its time limit before it had saved"),
    "DEADLINE": ("timeout", "Slurm ended it at its deadline"),
    HELD: ("node", "Slurm could not start it on its node, and holds it"),
    NOT_LAUNCHED: ("node", "Slurm could not launch it on its node; are the runs folder and segda there?"),
}
"""State of a job -> cause and message of its attempt."""

CANCELLED = "CANCELLED"
PREEMPTED = "PREEMPTED"
FORGOTTEN = "FORGOTTEN"
"""Not a state of Slurm's: it knows other jobs of the array, but not this one, which never started."""

KEEP_S = 30.0
"""Seconds that what jobcomp wrote is used for."""

SLOW = "slurmdbd is too slow to be asked about it now"

RECORD = re.compile(r"\b(Name|JobState|ArrayTaskId)=(\S+)")


def end_of(name: str, index: int, started: bool) -> str | None:
    """The job's last state, as `TIMEOUT`; None where nothing is known of it."""
    sighting = queue().find(name, index)
    if sighting.job is not None:
        if sighting.job.could_not_start:
            return HELD
        return NOT_LAUNCHED if sighting.job.reason == "JobLaunchFailure" else sighting.job.state
    now = int(time.monotonic() / KEEP_S)
    for states in (accounting().states(name), _recorded(now).get(name, {})):
        state = states.get(index) or states.get(None)
        if state in ENDED:  # it has left the queue: that was told before
            return state
    return FORGOTTEN if sighting.gone and not started else None


def why_unknown(name: str, index: int) -> str:
    """Where `end_of` knows nothing: whether anybody could be asked."""
    if fault := queue().find(name, index).fault:
        return fault
    return SLOW if accounting().is_given_up else "Slurm forgot it"


@lru_cache(maxsize=1)
def _recorded(now: int) -> dict[str, States]:
    """The states of our arrays by jobcomp/filetxt; empty where it is not used or not readable."""
    told, states = configuration().settings(), defaultdict[str, States](dict)
    if told.get("JobCompType") != "jobcomp/filetxt":
        return {}
    try:
        with Path(told["JobCompLoc"]).open(errors="replace") as lines:
            for line in lines:
                found = dict(RECORD.findall(line))
                if found.get("Name", "").startswith("segda-"):
                    states[found["Name"]][task_number(found.get("ArrayTaskId", ""))] = found["JobState"]
    except OSError:
        return {}
    return states
