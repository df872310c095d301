"""Names of the files in a trial's directory."""

import os
from dataclasses import dataclass
from pathlib import Path

SNAPSHOT_FILE = "snapshot.json"
"""In a copy of the code that a launch made: its hash, commit, and the hash of the uncommitted changes."""

GPUS_VARIABLE = "SEGDA_GPUS"
"""Environment variable of an attempt's processes: how many GPUs their executor gave them on this machine."""


@dataclass(frozen=True)
class TrialFiles:
    """Paths of one trial: `runs/SWEEP/LABEL-HEX`."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved configuration; of its identity nothing ever changes."""
        return self.root / "config.yaml"

    @property
    def trial(self) -> Path:
        """Sweep, label and parents, written once by the launcher."""
        return self.root / "trial.json"

    @property
    def cancel(self) -> Path:
        """Marker left by `segda cancel`."""
        return self.root / "cancel"

    @property
    def metrics(self) -> Path:
        """The result: the trial is done if and only if this exists."""
        return self.root / "metrics.json"

    @property
    def evaluations(self) -> Path:
        """Further evaluations under other protocols or data."""
        return self.root / "evaluations"

    @property
    def attempts(self) -> Path:
        """One folder for each execution."""
        return self.root / "attempts"

    def attempt(self, number: int) -> "AttemptFiles":
        """Files of execution `number` (from 1)."""
        return AttemptFiles(self.attempts / str(number))

    @property
    def newest_number(self) -> int:
        """Number of the newest attempt; 0 before the first."""
        return max(self.attempt_numbers(), default=0)

    def attempt_numbers(self) -> list[int]:
        """Numbers of every attempt made so far, ascending."""
        try:
            with os.scandir(self.attempts) as entries:
                return sorted(int(entry.name) for entry in entries if entry.name.isdecimal())
        except FileNotFoundError:
            return []


@dataclass(frozen=True)
class AttemptFiles:
    """Paths of one execution of a trial; only processes of that attempt write below it."""

    root: Path

    @property
    def trial(self) -> TrialFiles:
        """The trial's."""
        return TrialFiles(self.root.parent.parent)

    @property
    def number(self) -> int:
        """The attempt's number, from 1."""
        return int(self.root.name)

    @property
    def submission(self) -> Path:
        """Launcher, before submitting: executor, launch id, snapshot, hashes, fresh, host, boot id, pid."""
        return self.root / "submission.json"

    def runner(self, node: int) -> Path:
        """Runner of that node: job id, restart count, host, boot id, pid with its start time."""
        return self.root / f"runner.{node}.json"

    @property
    def environment(self) -> Path:
        """Rank 0: commit, packages, CUDA, GPUs."""
        return self.root / "environment.json"

    @property
    def heartbeat(self) -> Path:
        """Rank 0, every 10 s: step, steps, images/s, time."""
        return self.root / "heartbeat.json"

    @property
    def history(self) -> Path:
        """Rank 0: one JSON row every `log_every` steps and at evaluations."""
        return self.root / "history.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Training states `STEP.pt` and the final weights `final.pt`."""
        return self.root / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard event files."""
        return self.root / "tensorboard"

    @property
    def confusion(self) -> Path:
        """One confusion matrix for each validation image, and the names."""
        return self.root / "confusion.npz"

    @property
    def preview(self) -> Path:
        """A picture of a few predictions."""
        return self.root / "preview.png"

    @property
    def metrics(self) -> Path:
        """The result before it is published to the trial."""
        return self.root / "metrics.json"

    @property
    def saved(self) -> Path:
        """Rank 0: left in order after a signal, with a checkpoint at this step."""
        return self.root / "saved.json"

    @property
    def superseded(self) -> Path:
        """Rank 0: left because a higher attempt exists."""
        return self.root / "superseded.json"

    def error(self, rank: int) -> Path:
        """That worker's failure: cause, message, traceback, time."""
        return self.root / "errors" / f"{rank}.json"

    @property
    def log(self) -> Path:
        """Everything the runner, torchrun and the workers print."""
        return self.root / "log.txt"

    def node_log(self, node: int) -> Path:
        """The same of that node, where an attempt runs on several."""
        return self.log if node == 0 else self.root / f"log.{node}.txt"

    @property
    def stopped(self) -> Path:
        """Written by a search scheduler's driver."""
        return self.root / "stopped.json"

    @property
    def outcome(self) -> Path:
        """How it ended (`launcher.trials.outcome`): by node 0's runner, last; by others where none ran."""
        return self.root / "outcome.json"
