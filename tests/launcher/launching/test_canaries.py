"""A canary that nobody has claimed yet, or that two launchers add; commands stand in for a cluster."""

import io
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from slurm_commands import entries_of, forget, stand_in, submit, write_command

from launcher.cli import cancel as cancel_command
from launcher.commands.status_view import render_sweep
from launcher.launching.canary import Canaries
from launcher.launching.entry import Entry
from launcher.leaderboard import Today
from launcher.status import read_status
from launcher.trial import Trial
from launcher.trials.find import canaries_of
from launcher.trials.outcome import Outcome, Status, write_outcome
from launcher.trials.states import State
from segda_core.config import TrialConfig
from sweeps import expanded

FORK = multiprocessing.get_context("fork")

SLOW_SBATCH = """
sleep 1.5
for script; do :; done
name=$(sed -n 's/^#SBATCH --job-name=//p' "$script")
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
id=$$
for task in $(seq 0 ${last:-0}); do echo "${id}_$task|$task|PENDING|None||$name" >> "%(queue)s"; done
echo "$id $(sed -n 's/^#SBATCH --dependency=//p' "$script")" >> "%(queue)s.log"
echo Submitted batch job $id"""
"""Takes a while, as with hundreds of trials, and keeps a queue and a log of ids and dependencies."""


@pytest.fixture(autouse=True)
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield stand_in(tmp_path, monkeypatch)
    forget()


def with_canary(trials: list[Trial], folder: Path) -> list[Entry]:
    """Entries of a launch of its own."""
    entries = entries_of(trials, folder)
    return [*Canaries(folder / "runs").before({"alike": trials}, entries), *entries]


@pytest.mark.parametrize(("override", "steps"), [("workers=0", 2), ("capture=true", 5)])
def test_a_canary_takes_every_part_of_a_step_and_one_step_more(
    tmp_path: Path, override: str, steps: int
) -> None:
    trials = expanded(tmp_path, override, "steps=9", grid={"seed": [0, 1]}).trials
    canary = with_canary(trials, tmp_path)[0]
    assert isinstance(canary.config, TrialConfig)
    assert canary.config.steps == steps


@pytest.mark.parametrize("retried", [False, True])
def test_cancelling_a_sweep_reaches_a_canary_that_is_still_to_be_claimed(
    tmp_path: Path, retried: bool
) -> None:
    """While its launch waits for room, or to try again what the machine broke."""
    entries = with_canary(expanded(tmp_path, grid={"seed": [0, 1]}).trials, tmp_path)
    canary = entries[0]
    if retried:
        write_outcome(canary.files.attempt(1), Outcome(Status.FAILED, "", "node"))
        canary.seen = 1
    cancel_command("demo", [], False, tmp_path / "runs")
    output = submit(entries)
    assert output.count("queued") == 0, output
    assert [read_status(entry.files).state for entry in entries] == [State.CANCELLED] * 3
    assert canary.files.attempt_numbers() == [1] * retried


def test_a_canary_that_failed_by_itself_is_not_counted_as_cancelled(tmp_path: Path) -> None:
    canary, *_ = with_canary(expanded(tmp_path, grid={"seed": [0, 1]}).trials, tmp_path)
    write_outcome(canary.files.attempt(1), Outcome(Status.FAILED, "", "code"))
    cancel_command("demo", [], False, tmp_path / "runs")
    assert not canary.files.cancel.exists()


@pytest.mark.processes
def test_of_two_launches_at_once_one_runs_the_canary_and_both_submit_their_trials(
    tmp_path: Path, commands: Path
) -> None:
    queue = tmp_path / "queue"
    write_command(commands / "sbatch", SLOW_SBATCH % {"queue": queue})
    write_command(commands / "squeue", f"cat '{queue}' 2>/dev/null || true")
    trials = expanded(tmp_path, grid={"seed": [0, 1, 2]}).trials
    launches = [
        FORK.Process(target=launch, args=(chosen, tmp_path, name))
        for chosen, name in ((trials[:2], "one"), ([trials[0], trials[2]], "two"))
    ]
    for process in launches:
        process.start()
    for process in launches:
        process.join(60)
        assert process.exitcode == 0
    said = [(tmp_path / name).read_text() for name in ("one", "two")]
    (canary,) = canaries_of(tmp_path / "runs" / "demo")
    assert canary.attempt_numbers() == [1]
    assert [trial.files(tmp_path / "runs").attempt_numbers() for trial in trials] == [[1]] * 3, said
    assert not any("not submitted" in text for text in said), said
    stream = io.StringIO()
    Console(file=stream, width=200).print(render_sweep(tmp_path / "runs" / "demo", Today()))
    assert f"goes first: {canary.root.name}: queued\n" in stream.getvalue()
    jobs = dict(line.split(" ") for line in (tmp_path / "queue.log").read_text().splitlines())
    first = next(job for job, after in jobs.items() if not after)
    assert len(jobs) == 3, "the canary, and an array of each launch"
    assert [after for job, after in jobs.items() if job != first] == [f"afterany:{first}_0"] * 2


def launch(trials: list[Trial], folder: Path, name: str) -> None:
    (folder / name).write_text(submit(with_canary(trials, folder)))
