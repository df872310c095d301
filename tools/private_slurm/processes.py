"""Processes of a private Slurm: started, told apart from later ones with the same pid, and ended in time."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STOP_S = 20.0
"""Seconds that a daemon gets to end after TERM, before it is killed."""


class SlurmDevError(Exception):
    """What did not work, with what the daemons say about it."""


@dataclass(frozen=True)
class Process:
    """A process by pid and start time: a pid alone may belong to another one by now."""

    pid: int
    start: int
    """Clock ticks since boot."""

    @property
    def runs(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return started(self.pid) == self.start

    def send(self, signum: signal.Signals) -> None:
        """Send a signal, unless it is gone."""
        if self.runs:
            try:
                os.kill(self.pid, signum)
            except ProcessLookupError:
                return  # gone since the look


def started(pid: int) -> int | None:
    """When a process started; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the command's name may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def start(command: Sequence[str | Path], environment: Mapping[str, str], output: Path) -> Process:
    """Start a daemon in the foreground of a session of its own, beyond the reach of a terminal's Ctrl-C."""
    with output.open("ab") as stream:
        child = subprocess.Popen(
            [str(word) for word in command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    begun = started(child.pid)
    _children.append(child)
    if begun is None:
        raise SlurmDevError(f"{command[0]} ended at once:\n{tail(output)}")
    return Process(child.pid, begun)


_children: list["subprocess.Popen[bytes]"] = []
"""Started by this interpreter: kept so that ended ones are reaped, and none is reported as forgotten."""


def reap() -> None:
    """Take leave of ended children."""
    _children[:] = [child for child in _children if child.poll() is None]


def stop(process: Process, signum: signal.Signals = signal.SIGTERM, seconds: float = STOP_S) -> None:
    """End a process, the hard way after some seconds."""
    process.send(signum)
    if not poll(lambda: not process.runs, seconds):
        process.send(signal.SIGKILL)
        poll(lambda: not process.runs, seconds)
    reap()


def poll(condition: Callable[[], object], seconds: float, every: float = 0.1) -> bool:
    """Wait until the condition holds; False where it does not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def tail(path: Path, lines: int = 15) -> str:
    """The end of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


def with_environment(entries: Iterable[str]) -> list[Process]:
    """Processes whose environment has all these `NAME=value`."""
    wanted = {os.fsencode(entry) for entry in entries}
    found = []
    for name in (entry.name for entry in os.scandir("/proc")):
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        try:
            environment = set(Path(f"/proc/{name}/environ").read_bytes().split(b"\0"))
        except OSError:
            continue  # gone meanwhile, or another user's
        begun = started(int(name))
        if wanted <= environment and begun is not None:
            found.append(Process(int(name), begun))
    return found


def kill_all(find: Callable[[], list[Process]], seconds: float = 10) -> None:
    """Kill what `find` returns until it finds nothing more."""

    def none_left() -> bool:
        for process in (left := find()):
            process.send(signal.SIGKILL)
        return not left

    if not poll(none_left, seconds, every=0.05):
        raise SlurmDevError(f"processes that do not end: {[process.pid for process in find()]}")
