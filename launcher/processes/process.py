"""Processes of this host: who wrote a file, whether it still runs, and ending all those of an attempt."""

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from segda_core.process import signal_at_parents_death

ATTEMPT_VARIABLE = "SEGDA_ATTEMPT"
"""Environment variable that every process of an attempt inherits: the attempt's absolute path."""

NODE_VARIABLE = "SEGDA_NODE"
"""Environment variable with the number of the node, of several that an attempt runs on."""

PARENT_VARIABLE = "SEGDA_PARENT"
"""Environment variable with the pid whose death a runner must not outlive."""

SAVE_GRACE_S = 60
"""Seconds that workers get to save and leave after a signal, or their runner's death, before KILL."""

KILL_PATIENCE_S = 10.0
"""Seconds after which a process that KILL did not end is left to the kernel."""

PR_SET_CHILD_SUBREAPER = 36


def host_and_boot() -> dict[str, str]:
    """What tells this machine, since it was last started, from every other; containers count as machines."""
    return {
        "host": socket.gethostname(),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "pid_namespace": str(Path("/proc/self/ns/pid").readlink()),
    }


def identity() -> dict[str, Any]:
    """This process, told apart from any later one that gets the same pid."""
    pid = os.getpid()
    return {**host_and_boot(), "pid": pid, "pid_start": pid_start(pid)}


def pid_start(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process; None where it is gone or a zombie."""
    fields = _stat(pid)
    return None if not fields or fields[0] in "ZX" else int(fields[19])


def _stat(pid: int) -> list[str]:
    """State, parent and so on of a process (`man 5 proc`, from the third field); empty where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()  # the command's name may hold spaces and brackets


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]


def on_this_machine(record: Mapping[str, Any]) -> bool:
    """Whether the process that wrote `record` (see `identity`) was one of this host and boot."""
    return all(record.get(key) == value for key, value in host_and_boot().items())


def still_runs(record: Mapping[str, Any]) -> bool:
    """Whether that process of this machine is still the one it was."""
    start: int | None = record["pid_start"]
    return pid_start(record["pid"]) == start


def death_signal(parent: int, signum: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A function for a child: the kernel signals it when `parent` dies; it leaves if that has happened.

    The death counted is that of the thread that started the child, so start children from one that stays.
    """

    def install() -> None:
        signal_at_parents_death(signum)
        if os.getppid() != parent:
            sys.exit(f"parent process {parent} is gone")

    return install


def processes_of(attempt: Path, node: int | None = None) -> list[int]:
    """Pids on this machine, other than our own, that were started for the attempt.

    `node` restricts them to one of its nodes: a machine may stand for several.
    """
    marks = {os.fsencode(f"{ATTEMPT_VARIABLE}={attempt.resolve()}")}
    if node is not None:
        marks.add(os.fsencode(f"{NODE_VARIABLE}={node}"))
    return [pid for pid in _all_pids() if pid != os.getpid() and marks <= environment_of(pid)]


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that `descendants` finds it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def descendants(ancestor: int) -> list[int]:
    """Pids of a process's children, their children and so on; not of zombies."""
    children: dict[int, list[int]] = {}
    for pid in _all_pids():
        if (fields := _stat(pid)) and fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(pid)
    found, left = [], [ancestor]
    while left:
        left = [pid for parent in left for pid in children.get(parent, [])]
        found += left
    return found


def end_processes(attempt: Path, grace: float, node: int | None = None) -> list[int]:
    """Send TERM to every process of the attempt, and KILL to those left after `grace` seconds.

    Returns the pids that are still there: see `kill_all`.
    """
    send(processes_of(attempt, node), signal.SIGTERM)
    deadline = time.monotonic() + grace
    while processes_of(attempt, node) and time.monotonic() < deadline:
        time.sleep(0.05)
    return kill_all(lambda: processes_of(attempt, node))


def kill_all(find: Callable[[], list[int]]) -> list[int]:
    """Send KILL to what `find` finds until it finds nothing more.

    Returns what is there after `KILL_PATIENCE_S`: a process deep in a driver or a dead file system. It ends
    when it comes back from there, and does nothing of ours any more.
    """
    deadline = time.monotonic() + KILL_PATIENCE_S
    while (left := find()) and time.monotonic() < deadline:
        send(left, signal.SIGKILL)
        time.sleep(0.02)
    return left


def environment_of(pid: int) -> set[bytes]:
    """`NAME=VALUE` of every variable a process was started with; empty where it is gone or not ours."""
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return set()  # gone meanwhile, or another user's


def send(pids: list[int], signum: signal.Signals) -> None:
    """Send a signal to those of some processes that still are there."""
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue  # gone meanwhile


def out_of_memory_kills() -> int:
    """How often the kernel's out-of-memory killer has struck in this process's control group so far."""
    for path in _memory_counters(Path("/proc/self/cgroup").read_text()):
        if path.exists():
            counts = dict(line.split() for line in path.read_text().splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


def _memory_counters(groups: str) -> Iterator[Path]:
    """Files in which the kernel may count them, by /proc/self/cgroup: version 1 or 2, also in a container."""
    for line in groups.splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = ("memory", "memory.oom_control") if controllers else ("", "memory.events")
        for folder in (group.lstrip("/"), ""):
            yield Path("/sys/fs/cgroup", root, folder, name)
