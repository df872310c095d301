"""Which attempt a start of a Slurm job works for: first the one it was submitted for, then one of its own."""

import errno
import os
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

from launcher.executors.base import Resources
from launcher.processes.process import identity
from launcher.trials.life import is_alive
from segda_core.files import read_json, write_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

WAIT_S = 120.0
"""Seconds that the other nodes wait for the first one's runner."""

FIRST_PORT, LAST_PORT = 10_000, 30_000
"""Where a port is looked for, below the range from which systems take ports for outgoing connections."""

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True)
class JobStart:
    """One start of a Slurm job, as one of its nodes sees it."""

    job_id: str
    """`ARRAY_TASK`, or the number of a single job."""
    restart_count: int
    node: int
    host: str
    """The node's name to the other nodes."""

    @classmethod
    def here(cls) -> "JobStart":
        """From Slurm's environment."""
        array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
        return cls(
            job_id=os.environ["SLURM_JOB_ID"] if array is None else f"{array}_{task}",
            restart_count=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            node=int(os.environ["SLURM_NODEID"]),
            host=os.environ["SLURMD_NODENAME"],
        )

    def label(self, resources: Resources) -> Resources:
        """Resources that name this start, for the runner's record."""
        return replace(resources, job_id=self.job_id, restart_count=self.restart_count)

    def is_recorded_in(self, record: dict[str, object]) -> bool:
        """Whether a runner's record is of this start."""
        return (record["job_id"], record["restart_count"]) == (self.job_id, self.restart_count)


@dataclass(frozen=True)
class Turn:
    """An attempt to run, and where its nodes meet."""

    attempt: AttemptFiles
    rendezvous: str | None


def take_turn(files: TrialFiles, job_name: str, index: int, start: JobStart, nodes: int) -> Turn | None:
    """On the first node: the attempt of this start, made where Slurm had started the job before.

    None where the trial is done, cancelled, or in other hands: then nothing of it is touched.
    """
    highest = _highest_settled(files)
    newest = newest_of_ours(files, job_name, index)
    if newest is None:
        return None
    started_before = start.restart_count > 0 or newest.runner(0).exists() or newest.outcome.exists()
    take_next = started_before or newest.number < highest
    attempt = _make_next(files, highest, newest, start) if take_next else newest
    if attempt is None:
        return None
    return Turn(attempt, f"{start.host}:{free_port(start)}" if nodes > 1 else None)


def find_turn(files: TrialFiles, job_name: str, index: int, start: JobStart, nodes: int) -> Turn | None:
    """On the other nodes: wait for the attempt whose first runner names this start.

    The first node may just have made it, and not yet said whose it is.
    """
    deadline = time.monotonic() + WAIT_S
    while (newest := newest_of_ours(files, job_name, index)) is not None:
        record = read_json(newest.runner(0))
        if record is not None and start.is_recorded_in(record):
            return Turn(newest, record["rendezvous"])
        if time.monotonic() > deadline:
            raise TimeoutError(f"no runner on the first of {nodes} nodes after {WAIT_S:g} s")
        time.sleep(0.2)
    return None


def newest_of_ours(files: TrialFiles, job_name: str, index: int) -> AttemptFiles | None:
    """The trial's newest attempt that says whose it is, if it is this job's, and not over."""
    attempts = [attempt for attempt in _attempts(files) if attempt.submission.exists()]
    if not attempts or files.metrics.exists() or files.cancel.exists():
        return None
    return attempts[-1] if _is_of(attempts[-1], job_name, index) else None


def attempts_of_job(files: TrialFiles, job_name: str, index: int) -> list[AttemptFiles]:
    """The trial's attempts that one job made, in order."""
    return [attempt for attempt in _attempts(files) if _is_of(attempt, job_name, index)]


def _highest_settled(files: TrialFiles) -> int:
    """Number of the newest attempt, as soon as it says whose it is, or its maker was killed before it did."""
    while (attempts := _attempts(files)) and not attempts[-1].submission.exists() and is_alive(attempts[-1]):
        time.sleep(0.2)
    return attempts[-1].number if attempts else 0


def _attempts(files: TrialFiles) -> list[AttemptFiles]:
    return [files.attempt(number) for number in files.attempt_numbers()]


def _is_of(attempt: AttemptFiles, job_name: str, index: int) -> bool:
    said = read_json(attempt.submission) or {}
    return (said.get("job_name"), said.get("array_index")) == (job_name, index)


def _make_next(files: TrialFiles, highest: int, newest: AttemptFiles, start: JobStart) -> AttemptFiles | None:
    """The attempt after `highest`, for a job of which `newest` is; None where another process made it."""
    attempt = files.attempt(highest + 1)
    try:
        attempt.root.mkdir()
    except FileExistsError:
        return None
    again = {"fresh": False, "job_id": start.job_id, "restart_count": start.restart_count}
    said = read_json(newest.submission) or {}
    write_json(attempt.submission, {**said, **again, **identity(), "time": time.time()})
    return attempt


def free_port(start: JobStart) -> int:
    """A port of this machine nobody listens on, a different one for most jobs."""
    last = min(LAST_PORT, int(EPHEMERAL.read_text().split()[0])) if EPHEMERAL.exists() else LAST_PORT
    number = int("".join(filter(str.isdecimal, start.job_id))) + start.restart_count
    for offset in range(last - FIRST_PORT):
        port = FIRST_PORT + (number + offset) % (last - FIRST_PORT)
        if _is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port from {FIRST_PORT} to {last}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
