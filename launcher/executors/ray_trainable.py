"""What Ray Tune runs for each trial: a process that starts the trial's runner and reports its history.

A class, not a function: Tune waits for the `cleanup` of a class when it stops a trial, which is the time the
runner needs to save; the process of a function it ends at once.
"""

import os
import signal
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

from ray import tune

from launcher.executors.base import Resources, start_runner
from launcher.executors.ray_task import Task
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.trial_history import Row, newest_rows

POLL_S = 0.1
REPORT_S = 1.0
"""Seconds between reports: Tune stops a trial when it reports."""


class AttemptTrainable(tune.Trainable):
    """One attempt on the node that Ray chose."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """All ranks on one node."""
        task = Task.of(config)
        bundle: dict[str, float] = {"CPU": task.cpus, **({"GPU": task.gpus} if task.gpus else {})}
        return tune.PlacementGroupFactory([bundle], strategy="STRICT_PACK")

    def setup(self, config: dict[str, Any]) -> None:
        """Start the runner; this process serves one trial, so its directory and variables may be set."""
        task = Task.of(config)
        os.chdir(task.directory)
        os.environ.update(task.environment)
        attempt = AttemptFiles(Path(task.attempt))
        self._name = attempt.trial.root.name
        self._rows = Rows(attempt.trial, task.steps)
        # The runner keeps the CUDA_VISIBLE_DEVICES that Ray gave this process.
        resources = Resources(num_gpus=task.gpus, stall_min=task.stall_min)
        self._runner = start_runner(attempt, resources, None if task.code is None else Path(task.code))

    def __repr__(self) -> str:
        """The trial's name, for Ray's dashboard."""
        return self._name

    def step(self) -> Row:
        """The next row of the history, or after a while none; the last one when the runner has ended."""
        deadline = time.monotonic() + REPORT_S
        while self._runner.poll() is None:
            if row := self._rows.next(whole=False):
                return row
            if time.monotonic() > deadline:
                return {}
            time.sleep(POLL_S)
        row = self._rows.next(whole=True)
        return {"done": True} if row is None else row

    def cleanup(self) -> None:
        """Let the runner save and leave, where Tune stops the trial before its end."""
        if self._runner.poll() is None:
            self._runner.send_signal(signal.SIGTERM)
        self._runner.wait()


class Rows:
    """The rows of a trial's history as it grows: every evaluation, of the others only the newest.

    What earlier attempts reported comes first, for a scheduler that never saw it.
    """

    def __init__(self, trial: TrialFiles, steps: int | None) -> None:
        self._trial = trial
        self._steps = steps
        self._reported = {"miou": -1, "losses": -1}

    def next(self, whole: bool) -> Row | None:
        """The next row; an evaluation after the last step only where the history is `whole`.

        A scheduler that stopped a trial then would break off the writing of its result.
        """
        evaluations = self._new("miou", whole)
        training = self._new("losses", whole)
        if evaluations:
            return self._report("miou", evaluations[-1])
        return self._report("losses", training[0]) if training else None

    def _new(self, key: str, whole: bool) -> list[Row]:
        """Rows that hold `key` and were not reported yet, the newest first."""
        rows = takewhile(lambda row: row["step"] > self._reported[key], newest_rows(self._trial, key))
        return [row for row in rows if whole or key != "miou" or row["step"] != self._steps]

    def _report(self, key: str, row: Row) -> Row:
        self._reported[key] = row["step"]
        return row
