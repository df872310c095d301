"""What earlier launches may have left on this host: workers without a runner."""

import os
import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from launcher.doctor.finding import Finding, Level, Scope
from launcher.processes.process import ATTEMPT_VARIABLE, SAVE_GRACE_S, environment_of


@dataclass
class Group:
    """The processes of one attempt."""

    pids: list[int] = field(default_factory=list)
    has_runner: bool = False


def check_orphans(scope: Scope) -> Iterator[Finding]:
    """Processes of attempts, of any runs folder, whose runner is gone."""
    groups = processes_by_attempt()
    alive = sum(group.has_runner for group in groups.values())
    orphaned = {attempt: group for attempt, group in groups.items() if not group.has_runner}
    if not orphaned:
        yield Finding(Level.OK, f"no orphaned workers; {alive} attempts run here", facts={"running": alive})
    for attempt, group in orphaned.items():
        words = " ".join(map(str, group.pids))
        advice = (
            f"the kernel told them to save and leave; if they are still there after {SAVE_GRACE_S:.0f} s: "
            f"kill -9 {words}. The next segda sweep goes on with the trial"
        )
        message = f"{len(group.pids)} workers without a runner: {shlex.quote(attempt)}"
        yield Finding(Level.WARNING, message, advice, {"attempt": attempt, "pids": group.pids})


def processes_by_attempt() -> dict[str, Group]:
    """This user's processes that were started for attempts, by the attempt's path."""
    mark = os.fsencode(f"{ATTEMPT_VARIABLE}=")
    groups: defaultdict[str, Group] = defaultdict(Group)
    for name in (entry.name for entry in os.scandir("/proc") if entry.name.isdecimal()):
        for entry in environment_of(int(name)):
            if entry.startswith(mark):
                group = groups[os.fsdecode(entry[len(mark) :])]
                group.pids.append(int(name))
                group.has_runner = group.has_runner or _is_runner(int(name))
    return groups


def _is_runner(pid: int) -> bool:
    try:
        return b"launcher.attempt" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False  # gone meanwhile
