"""The runner: the process that starts torchrun for one attempt, watches it, and writes how it ended.

    python -m launcher.attempt TRIAL_DIR --attempt N --resources JSON [--node-rank R --rendezvous HOST:PORT]

Executors start it through `executors.base.start_runner`, one on each node of the attempt. It passes TERM, INT
and USR2 on as INT, ends an attempt that was cancelled or whose step does not move, leaves no process behind,
and on the first node writes outcome.json as its last act.
"""

import argparse
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from launcher.executors.base import Resources
from launcher.processes.command import FIRST_NODE, Node, worker_command
from launcher.processes.process import (
    PARENT_VARIABLE,
    SAVE_GRACE_S,
    death_signal,
    end_processes,
    identity,
    out_of_memory_kills,
)
from launcher.trials.judge import Ending, judge
from launcher.trials.outcome import write_outcome
from launcher.trials.prepare import read_config
from segda_core.files import read_json, write_json
from segda_core.process import SAVE_SIGNALS
from segda_core.trials.layout import AttemptFiles, TrialFiles

POLL_S = 0.2
LOOK_S = 1.0
"""Seconds between looks at the files that may end the attempt."""

ASLEEP_S = 10.0
"""Seconds between two looks after which this process, and with it the workers, must have been suspended."""

UNHEARD = (signal.SIGTERM, signal.SIGUSR2)
"""Those that torchrun ignores: a scheduler sends them to it as well, and its runner passes each on as INT."""


class Runner:
    """One attempt of one trial on this host."""

    def __init__(
        self, files: TrialFiles, attempt: AttemptFiles, resources: Resources, node: Node = FIRST_NODE
    ) -> None:
        self._files = files
        self._attempt = attempt
        self._resources = resources
        self._node = node
        self._config = read_config(files)
        self._received: list[signal.Signals] = []
        self._ending = Ending(returncode=0)
        self._deadline: float | None = None
        self._stall = StallClock(attempt)

    def run(self) -> None:
        """Run the attempt to its end and write outcome.json."""
        for signum in SAVE_SIGNALS:
            signal.signal(signum, self._receive)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SAVE_SIGNALS)  # Ray starts its processes with INT blocked
        death_signal(int(os.environ[PARENT_VARIABLE]))()
        write_json(self._attempt.runner(self._node.rank), self._record())
        memory_kills = out_of_memory_kills()
        returncode = self._watch(self._start())
        self._end_rest(grace=0 if self._ending.out_of_patience else SAVE_GRACE_S)
        ending = replace(
            self._ending, returncode=returncode, memory_ran_out=out_of_memory_kills() > memory_kills
        )
        outcome = judge(self._files, self._attempt, ending)
        print(f"runner: {' '.join(filter(None, (outcome.status, outcome.cause, outcome.message)))}")
        if self._node.rank == 0:
            write_outcome(self._attempt, outcome)

    def _record(self) -> dict[str, Any]:
        return {
            "job_id": self._resources.job_id,
            "restart_count": self._resources.restart_count,
            "rendezvous": self._node.rendezvous,
            **identity(),
            "time": time.time(),
        }

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        self._received.append(signal.Signals(signum))

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(self._config.threads),
            "PYTHONUNBUFFERED": "1",
            "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SAVE_GRACE_S),
        }
        if self._resources.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self._resources.gpus)
        command = worker_command(
            self._files.root, self._attempt.number, self._config, self._resources.nodes, self._node
        )
        print(f"runner: {shlex.join(command)}", flush=True)
        # Single-threaded here, so code between fork and exec is safe; what it sets survives the exec.
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, preexec_fn=_deaf_child(os.getpid())
        )

    def _watch(self, torchrun: "subprocess.Popen[bytes]") -> int:
        """Poll until torchrun has ended: a signal handler must never meet a lock held by `wait`."""
        next_look = 0.0
        while torchrun.poll() is None:
            if self._received and self._deadline is None:
                self._end(torchrun, self._received[0])
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK_S
                self._look(torchrun)
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._ending = replace(self._ending, out_of_patience=True)
                if self._end_rest(grace=0):
                    return -signal.SIGKILL
            time.sleep(POLL_S)
        return torchrun.returncode

    def _end_rest(self, grace: float) -> list[int]:
        """Pids that cannot be killed."""
        left = end_processes(self._attempt.root, grace, self._node.rank)
        if left:
            print(f"runner: KILL does not end the processes {left}; nothing waits for them", flush=True)
        return left

    def _look(self, torchrun: "subprocess.Popen[bytes]") -> None:
        if self._deadline is not None:
            return
        if self._files.cancel.exists():
            self._ending = replace(self._ending, cancelled=True)
            self._end(torchrun, signal.SIGTERM)
        elif self._stall.still_for_min() > self._resources.stall_min:
            self._ending = replace(self._ending, stalled_min=self._resources.stall_min)
            self._end(torchrun, signal.SIGTERM)
        elif self._node.rank > 0 and self._attempt.outcome.exists():
            self._end(torchrun, signal.SIGTERM)  # the first node has judged: what still runs here hangs

    def _end(self, torchrun: "subprocess.Popen[bytes]", signum: signal.Signals) -> None:
        """Answer a signal and start the time to save; a second INT would break off torchrun's wait."""
        print(f"runner: {signum.name}: the workers save and leave", flush=True)
        torchrun.send_signal(signal.SIGINT)
        self._deadline = time.monotonic() + SAVE_GRACE_S
        self._ending = replace(self._ending, asked_by=signum.name)


def _deaf_child(parent: int) -> Callable[[], None]:
    """What torchrun does before its exec: it ignores a scheduler's signals and gets INT when we die."""
    die_with_parent = death_signal(parent, signal.SIGINT)

    def prepare() -> None:
        for signum in UNHEARD:
            signal.signal(signum, signal.SIG_IGN)
        die_with_parent()

    return prepare


class StallClock:
    """How long an attempt's step and phase have not moved."""

    def __init__(self, attempt: AttemptFiles) -> None:
        self._attempt = attempt
        self._last: tuple[object, object] | None = None
        self._moved = self._looked = time.monotonic()

    def still_for_min(self) -> float:
        """Minutes since the last move seen, without those in which this process was suspended too."""
        before, self._looked = self._looked, time.monotonic()
        if self._looked - before > ASLEEP_S:
            self._moved += self._looked - before
        heartbeat = read_json(self._attempt.heartbeat) or {}
        now = (heartbeat.get("step"), heartbeat.get("phase"))
        if now != self._last:
            self._last, self._moved = now, self._looked
        still = self._looked - self._moved
        self._looked = time.monotonic()  # a slow file system is no sleep
        return still / 60


def main() -> None:
    """Run the attempt named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m launcher.attempt", description=__doc__)
    parser.add_argument("trial", type=Path, metavar="TRIAL_DIR")
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--resources", type=Resources.from_json, required=True, metavar="JSON")
    parser.add_argument("--node-rank", type=int, default=0, metavar="R")
    parser.add_argument("--rendezvous", metavar="HOST:PORT")
    arguments = parser.parse_args()
    files = TrialFiles(arguments.trial)
    node = Node(arguments.node_rank, arguments.rendezvous)
    Runner(files, files.attempt(arguments.attempt), arguments.resources, node).run()


if __name__ == "__main__":
    main()
