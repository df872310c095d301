"""What a Slurm job runs on each of its nodes, called by submitit: the runner of the attempt that is its turn.

Slurm may start a job again (time limit, preemption, a lost node, `scontrol requeue`). Each start works for an
attempt of its own, so that whatever is left of the start before it changes nothing any more.
"""

import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from launcher.executors.base import Resources, start_runner
from launcher.executors.slurm_start import (
    JobStart,
    Turn,
    attempts_of_job,
    find_turn,
    newest_of_ours,
    take_turn,
)
from launcher.processes.command import Node
from launcher.processes.process import SAVE_GRACE_S, end_processes
from launcher.slurm.requeue import NO_STEP, goes_on, in_vain, requeue
from launcher.trials.outcome import KILLED, Outcome, Status, read_outcome, write_outcome
from launcher.trials.waiting import absent_parents
from segda_core.trials.layout import AttemptFiles, TrialFiles

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

POLL_S = 0.2


class JobEndedError(RuntimeError):
    """The job did not make its trial's result; raised for Slurm and jobs that depend on this one to see."""


@dataclass(frozen=True)
class NodeTask:
    """One trial's job, the same on each of its nodes; pickled by submitit."""

    trial: Path
    attempt: int
    """The attempt it was submitted for; later starts make their own."""
    job_name: str
    array_index: int
    resources: Resources
    code: Path | None

    def __call__(self) -> str:
        """Run this start of the job to its end; the attempt's status."""
        signals = Signals()
        start = JobStart.here()
        files = TrialFiles(self.trial)
        if parents := absent_parents(files):
            self._give_up(files, start, f"waits for {' and '.join(each.root.name for each in parents)}")
        turn = take_turn if start.node == 0 else find_turn
        mine = turn(files, self.job_name, self.array_index, start, self.resources.nodes)
        if mine is None:
            return "left: the trial is done, cancelled, or another job's by now"
        self._run(mine, start, signals)
        if start.node > 0:
            return "ended with the first node"
        return self._close(files, mine.attempt, start, signals)

    def _give_up(self, files: TrialFiles, start: JobStart, message: str) -> NoReturn:
        """End without having begun: the jobs of the trial's parents are over, but they have no results."""
        attempt = newest_of_ours(files, self.job_name, self.array_index)
        if start.node == 0 and attempt is not None and not attempt.outcome.exists():
            write_outcome(attempt, Outcome(Status.WAITS, message))
        raise JobEndedError(message)

    def checkpoint(self) -> "DelayedSubmission":
        """For submitit, should Slurm's signal come before this task's own handlers are installed."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(self)

    def _run(self, turn: Turn, start: JobStart, signals: "Signals") -> None:
        """Start the runner and poll it: a signal handler must never meet a lock held by `wait`."""
        node = Node(start.node, turn.rendezvous)
        resources = start.label(self.resources)
        runner = start_runner(turn.attempt, resources, self.code, node=node)
        while runner.poll() is None:
            signals.forward(runner)
            time.sleep(POLL_S)
        end_processes(turn.attempt.root, SAVE_GRACE_S, start.node)

    def _close(self, files: TrialFiles, attempt: AttemptFiles, start: JobStart, signals: "Signals") -> str:
        """Have Slurm queue the job again where it was interrupted; `JobEndedError` where it failed.

        A job whose starts all reach the time limit before they gain a step is queued again only if preempted.
        """
        outcome = read_outcome(attempt)
        if signals.came and goes_on(outcome) and not files.cancel.exists():
            signals.ignore()
            stuck = in_vain(attempts_of_job(files, self.job_name, self.array_index))
            if requeue(start.job_id, start.restart_count, signals.asked_to_save and not stuck):
                return "queued again"
            if stuck:
                outcome = replace(outcome or KILLED, status=Status.FAILED, cause="timeout", message=NO_STEP)
                write_outcome(attempt, outcome)
        if outcome is None or outcome.status is not Status.DONE:
            said = "the runner was killed" if outcome is None else f"{outcome.status}: {outcome.message}"
            raise JobEndedError(said)
        return "done"


class Signals:
    """Slurm's signals to this task; submitit's handlers, which would requeue at once, are replaced."""

    def __init__(self) -> None:
        self.asked_to_save = False
        """USR2: the time limit is near, or a preemption with grace."""
        self.asked_to_end = False
        """TERM: scancel, or the last seconds before Slurm kills."""
        self._forwarded = False
        signal.signal(signal.SIGUSR2, self._receive)
        signal.signal(signal.SIGTERM, self._receive)

    @property
    def came(self) -> bool:
        """Whether Slurm asked for anything."""
        return self.asked_to_save or self.asked_to_end

    def forward(self, runner: "subprocess.Popen[bytes]") -> None:
        """Pass the first signal on, for clusters where it reaches this task alone."""
        if self.came and not self._forwarded:
            self._forwarded = True
            runner.send_signal(signal.SIGUSR2 if self.asked_to_save else signal.SIGTERM)

    def ignore(self) -> None:
        """Hear no more, and let no child started from now on be ended by them."""
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        self.asked_to_save = self.asked_to_save or signum == signal.SIGUSR2
        self.asked_to_end = self.asked_to_end or signum == signal.SIGTERM
