"""Tune's asynchronous successive halving, by trials' directories and with a record of what it stops."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from launcher.executors.base import EarlyStopping
from launcher.executors.ray_task import Task
from segda_core.files import write_json
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.trial_history import trial_history


class Asha(ASHAScheduler):
    """Knows a trial by its directory: what it reported before a retry or to an earlier driver counts once."""

    def __init__(self, early: EarlyStopping) -> None:
        super().__init__(
            time_attr="step",
            metric="miou",
            mode="max",
            max_t=early.steps,
            grace_period=early.grace_steps,
            reduction_factor=early.reduction_factor,
            stop_last_trials=False,
        )
        for folder in early.earlier:
            self._take_in(TrialFiles(folder))

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """As Tune's, by directory."""
        super().on_trial_add(tune_controller, self._named(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on; before it is stopped, the reason is written beside it."""
        action: str = super().on_trial_result(tune_controller, self._named(trial), result)
        attempt = AttemptFiles(Path(Task.of(trial.config).attempt))
        if action != TrialScheduler.STOP:
            return action
        if result["step"] >= self._max_t or attempt.outcome.exists():  # there is nothing left to save
            return str(TrialScheduler.CONTINUE)
        reason = {"by": "asha", "step": result["step"], "miou": result["miou"], "time": time.time()}
        write_json(attempt.stopped, reason)
        return action

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Nothing: every result was counted when it came."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Nothing: the trial may come back."""

    def _named(self, trial: Any) -> Any:
        return SimpleNamespace(trial_id=Path(Task.of(trial.config).attempt).parent.parent.name)

    def _take_in(self, files: TrialFiles) -> None:
        """Count the evaluations of a trial that ran before."""
        nobody: Any = None
        trial: Any = SimpleNamespace(trial_id=files.root.name)
        super().on_trial_add(nobody, trial)
        for row in trial_history(files):
            super().on_trial_result(nobody, trial, row)
