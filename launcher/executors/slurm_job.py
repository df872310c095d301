"""One attempt under Slurm, from its claim to the end of the last attempt that its job makes."""

import time
from dataclasses import dataclass, field

from launcher.executors.slurm_request import Shape
from launcher.slurm.cancel import cancel_jobs, signal_jobs
from launcher.trials.life import is_alive
from segda_core.trials.layout import AttemptFiles

LOOK_S = 1.0
"""Seconds between two looks at one job."""


@dataclass
class SlurmJob:
    """An attempt that is lined up, then its job; later attempts that the job makes belong to it."""

    attempt: AttemptFiles
    shape: Shape
    over: bool = field(default=False, init=False)
    """Whether it was seen to have ended."""
    _next_look: float = field(default=0.0, init=False)

    def has_ended(self) -> bool:
        """Whether nothing of the job runs or will run any more."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK_S
        self.over = not is_alive(self._newest())
        return self.over

    def terminate(self) -> None:
        """Ask it to save and leave; returns at once."""
        signal_jobs([self._newest()], "TERM")

    def kill(self) -> None:
        """End it now, unsaved."""
        signal_jobs([self._newest()], "KILL")  # its batch script ends by itself then
        cancel_jobs([self._newest()], only_waiting=True)

    def _newest(self) -> AttemptFiles:
        files = self.attempt.trial
        return files.attempt(max(files.attempt_numbers(), default=self.attempt.number))
