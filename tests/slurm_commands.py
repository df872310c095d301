"""Commands that stand in for a cluster where only what segda asks of it matters: no job ever runs."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from launcher.executors import make_executor
from launcher.executors.base import Surroundings
from launcher.expand.executor_config import SlurmConfig
from launcher.launching.claim import Submission
from launcher.launching.entry import Entry
from launcher.launching.launch import Launch
from launcher.launching.live import PlainView
from launcher.launching.placement import Place
from launcher.slurm import ending, gpus
from launcher.slurm.accounting import accounting
from launcher.slurm.limits import configuration
from launcher.slurm.queue import queue
from launcher.trial import Trial
from launcher.trials.prepare import prepare

SILENT = "echo 'slurm_load_ctl_conf error: Unable to contact slurm controller' >&2; exit 1"


def stand_in(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Commands that say nothing and take everything are the only ones of Slurm from now on; their folder."""
    commands = folder / "bin"
    commands.mkdir()
    for name in ("srun", "squeue", "scontrol", "scancel", "sinfo"):
        write_command(commands / name, "exit 0")
    write_command(commands / "sbatch", "echo Submitted batch job 7")
    patch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    forget()
    return commands


def write_command(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def forget() -> None:
    """What this process was told by another cluster."""
    configuration.cache_clear()
    queue.cache_clear()
    accounting.cache_clear()
    ending._recorded.cache_clear()
    gpus._partitions.cache_clear()


def entries_of(trials: Sequence[Trial], folder: Path, waits: bool = False, **settings: object) -> list[Entry]:
    """They are to run under Slurm."""
    slurm = SlurmConfig.model_validate({"name": "slurm", **settings})
    place = Place(make_executor(slurm, Surroundings(folder / "runs" / "demo", waits=waits)), slurm)
    submission = Submission("slurm", "hash", snapshot="code")
    made = [(prepare(trial, folder / "runs"), trial.config) for trial in trials]
    return [
        Entry(files, config, place, submission, max(files.attempt_numbers(), default=0))
        for files, config in made
    ]


def submit(entries: Sequence[Entry]) -> str:
    """Launch them without waiting; what that says."""
    output = io.StringIO()
    Launch(entries, PlainView(Console(file=output, width=1000)), waits=False).run(lambda ended: None)
    return output.getvalue()


def has_job(trial: Trial, folder: Path) -> bool:
    """Whether its newest attempt was submitted and not given back."""
    files = trial.files(folder / "runs")
    numbers = files.attempt_numbers()
    return bool(numbers) and not files.attempt(numbers[-1]).outcome.exists()
