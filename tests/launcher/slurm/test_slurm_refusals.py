"""A launch, a cancellation and canaries where Slurm says no; commands that refuse stand in for a cluster."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from launcher.canary import add_canaries, at_work, canaries_of
from launcher.cancel import cancel, take_out_of_queue
from launcher.claim import Submission
from launcher.cli import cancel as cancel_command
from launcher.entry import Entry
from launcher.executor_config import SlurmConfig
from launcher.executors import make_executor
from launcher.executors.base import Surroundings
from launcher.executors.slurm import SlurmExecutor
from launcher.launch import Launch
from launcher.live import PlainView
from launcher.placement import Place
from launcher.prepare import prepare
from launcher.slurm.limits import settings
from launcher.slurm.queue import queue
from launcher.trial import Trial
from segda_core.layout import AttemptFiles, TrialFiles, read_json, write_json
from sweeps import expanded


@pytest.fixture(autouse=True)
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of Slurm's commands: sbatch knows no partition, the queue is empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("srun", "squeue", "scontrol", "scancel"):
        write_command(folder / name, "exit 0")
    write_command(folder / "sbatch", "echo 'sbatch: error: invalid partition specified: nope' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    forget()
    yield folder
    forget()


def write_command(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def forget() -> None:
    """What this process was told by another cluster."""
    settings.cache_clear()
    queue.cache_clear()


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    """Two of one kind."""
    return expanded(tmp_path, grid={"seed": [0, 1]}).trials


@pytest.fixture
def entries(trials: list[Trial], tmp_path: Path) -> list[Entry]:
    """They are to run under Slurm."""
    slurm = SlurmConfig(name="slurm")
    surroundings = Surroundings(tmp_path / "runs" / "demo", waits=False)
    place = Place(make_executor(slurm, surroundings), slurm)
    submission = Submission("slurm", "hash", snapshot="code")
    return [Entry(prepare(trial, tmp_path / "runs"), trial.config, place, submission) for trial in trials]


def submit(entries: Sequence[Entry]) -> str:
    output = io.StringIO()
    Launch(entries, PlainView(Console(file=output, width=1000)), waits=False).run(lambda ended: None)
    return output.getvalue()


def queued(files: TrialFiles) -> AttemptFiles:
    """As a launch leaves it that has just submitted it."""
    attempt = files.attempt(1)
    write_json(attempt.submission, {"executor": "slurm", "job_name": "segda-x-1", "array_index": 0})
    return attempt


def test_what_waits_for_a_refused_canary_is_not_said_to_lack_room(
    entries: list[Entry], trials: list[Trial], tmp_path: Path
) -> None:
    output = submit(add_canaries(entries, [trials], tmp_path / "runs"))
    assert "sbatch: invalid partition specified: nope" in output
    assert output.count(": waits for canary-joint-") == 2, output
    assert "takes no more jobs" not in output


def test_a_claim_that_is_given_back_says_why(entries: list[Entry]) -> None:
    executor, attempt = entries[0].place.executor, entries[0].files.attempt(1)
    assert isinstance(executor, SlurmExecutor)
    attempt.root.mkdir(parents=True)
    room = executor.reserve(entries[0].config)
    assert room is not None
    room.start(attempt)
    executor.close()
    assert read_json(attempt.outcome)["message"] == "the launch ended before it was submitted"


def test_a_silent_controller_keeps_jobs_in_the_queue_and_that_is_said(
    entries: list[Entry], commands: Path
) -> None:
    queued(entries[0].files)
    write_command(commands / "squeue", "echo 'squeue: error: Unable to contact controller' >&2; exit 1")
    fault = take_out_of_queue(cancel([entries[0].files]))
    assert fault is not None and "their jobs stay in the queue" in fault and "Unable to contact" in fault


def test_a_kind_needs_no_second_canary_whichever_trial_comes_first(
    entries: list[Entry], trials: list[Trial], tmp_path: Path
) -> None:
    canary, *_ = add_canaries(entries, [trials], tmp_path / "runs")
    write_json(canary.files.metrics, {})
    assert add_canaries(entries, [trials[::-1]], tmp_path / "runs") == entries
    assert len(canaries_of(tmp_path / "runs" / "demo")) == 1


def test_cancelling_a_sweep_ends_its_canaries_until_the_next_launch(
    entries: list[Entry], trials: list[Trial], tmp_path: Path
) -> None:
    canary, *_ = add_canaries(entries, [trials], tmp_path / "runs")
    queued(canary.files)
    assert at_work(tmp_path / "runs" / "demo") == [canary.files]
    cancel_command("demo", [trials[0].id], False, tmp_path / "runs")
    assert not canary.files.cancel.exists(), "others may wait for it"
    cancel_command("demo", [], False, tmp_path / "runs")
    assert canary.files.cancel.exists()
    add_canaries(entries, [trials], tmp_path / "runs")
    assert not canary.files.cancel.exists()
