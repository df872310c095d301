"""A launch, a cancellation and canaries where Slurm says no; commands that refuse stand in for a cluster."""

import errno
import io
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread, Timer

import pytest
from rich.console import Console
from slurm_commands import entries_of, forget, has_job, stand_in, submit, write_command

from launcher.cli import cancel as cancel_command
from launcher.executors import slurm as executor_module
from launcher.executors import slurm_arrays as arrays_module
from launcher.executors.slurm import SlurmExecutor
from launcher.launching import launch as launch_module
from launcher.launching.canary import Canaries, at_work
from launcher.launching.entry import Entry, Phase
from launcher.launching.launch import Launch
from launcher.launching.live import PlainView
from launcher.status import read_status
from launcher.trial import Trial
from launcher.trials.cancel import cancel, take_out_of_queue
from launcher.trials.find import canaries_of
from launcher.trials.outcome import Outcome, Status, write_outcome
from launcher.trials.states import State
from segda_core.errors import ConfigError
from segda_core.files import read_json, write_json
from segda_core.trials.layout import AttemptFiles, TrialFiles
from sweeps import expanded


@pytest.fixture(autouse=True)
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of Slurm's commands: sbatch knows no partition, the queue is empty."""
    folder = stand_in(tmp_path, monkeypatch)
    write_command(folder / "sbatch", "echo 'sbatch: error: invalid partition specified: nope' >&2; exit 1")
    yield folder
    forget()


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    """Two of one kind."""
    return expanded(tmp_path, grid={"seed": [0, 1]}).trials


@pytest.fixture
def entries(trials: list[Trial], tmp_path: Path) -> list[Entry]:
    return entries_of(trials, tmp_path)


def queued(files: TrialFiles) -> AttemptFiles:
    """As a launch leaves it that has just submitted it."""
    attempt = files.attempt(1)
    write_json(attempt.submission, {"executor": "slurm", "job_name": "segda-x-1", "array_index": 0})
    return attempt


def test_what_waits_for_a_refused_canary_is_not_said_to_lack_room(
    entries: list[Entry], trials: list[Trial], tmp_path: Path
) -> None:
    output = submit([*Canaries(tmp_path / "runs").before({"alike": trials}, entries), *entries])
    assert "sbatch: invalid partition specified: nope" in output
    assert output.count(": waits for canary-joint-") == 2, output
    assert "takes no more jobs" not in output


def test_what_exceeds_the_submit_limit_stays_missing_and_the_next_call_tops_it_up(
    tmp_path: Path, commands: Path
) -> None:
    """A cluster that holds two of this user's jobs; later it has room again."""
    trials = expanded(tmp_path, grid={"seed": list(range(5))}).trials
    room = limit(commands, tmp_path, 2)
    output = submit(entries_of(trials, tmp_path))
    assert "QOSMaxSubmitJobPerUserLimit" in output
    assert [state(trial, tmp_path) for trial in trials[2:]] == [State.MISSING] * 3
    assert [has_job(trial, tmp_path) for trial in trials] == [True, True, False, False, False]
    add_room(room, 7)
    submit(entries_of(trials[2:], tmp_path))
    assert [has_job(trial, tmp_path) for trial in trials] == [True] * 5


def test_a_launch_that_stays_tops_up_what_exceeded_the_submit_limit(
    tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs end as soon as they are in the queue, and make room for as many."""
    monkeypatch.setattr(executor_module, "PAUSE_S", 0.1)
    monkeypatch.setattr(launch_module, "POLL_S", 0.05)
    trials = expanded(tmp_path, grid={"seed": list(range(5))}).trials
    cluster = Thread(target=end_jobs, args=(tmp_path, trials, limit(commands, tmp_path, 2)))
    write_command(commands / "squeue", f'cat "{tmp_path}/queue" 2>/dev/null || true')
    entries = entries_of(trials, tmp_path, waits=True)
    cluster.start()
    assert Launch(entries, PlainView(Console(file=io.StringIO())), waits=True).run(lambda ended: None)
    cluster.join()
    assert [state(trial, tmp_path) for trial in trials] == [State.DONE] * 5
    assert all(trial.files(tmp_path / "runs").attempt_numbers() == [1] for trial in trials)
    assert len((tmp_path / "queue").read_text().splitlines()) == 5


def limit(commands: Path, folder: Path, jobs: int) -> Path:
    """Have sbatch take so many jobs, which it writes to `queue`; the file with a line for each place."""
    room, queue = folder / "room", folder / "queue"
    add_room(room, jobs)
    queue.touch()
    write_command(
        commands / "sbatch",
        f"""
for script; do :; done
name=$(sed -n 's/^#SBATCH --job-name=//p' "$script")
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
left=$(($(wc -l < "{room}") - $(wc -l < "{queue}")))
test $left -gt ${{last:-0}} || {{ echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1; }}
for task in $(seq 0 ${{last:-0}}); do echo "7_$task|$task|PENDING|None||$name" >> "{queue}"; done
echo Submitted batch job 7""",
    )
    return room


def add_room(room: Path, jobs: int) -> None:
    """Lines are only ever added, so that nobody reads half of what another writes."""
    with room.open("a") as file:
        file.write("place\n" * jobs)


def end_jobs(folder: Path, trials: list[Trial], room: Path) -> None:
    """What a cluster does: every job in the queue makes its trial's result, and room for another."""
    left = [trial.files(folder / "runs") for trial in trials]
    while left:
        queue = (folder / "queue").read_text()
        for files in list(left):
            said = read_json(files.attempt(1).submission) or {}
            if f"|{said.get('array_index')}|PENDING|None||{said.get('job_name')}\n" in queue:
                write_json(files.metrics, {"attempt": 1, "steps": 1, "miou": 0.5, "images_per_second": 1.0})
                write_outcome(files.attempt(1), Outcome(Status.DONE, ""))
                left.remove(files)
                add_room(room, 1)
        time.sleep(0.05)


def state(trial: Trial, folder: Path) -> State:
    return read_status(trial.files(folder / "runs")).state


def test_a_full_disk_ends_no_launch(
    trials: list[Trial], tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where jobs' files are written; until somebody makes room."""
    monkeypatch.setattr(executor_module, "PAUSE_S", 0.1)
    write_command(commands / "sbatch", "echo Submitted batch job 7")
    keep_tasks, full = arrays_module.keep_tasks, Event()
    full.set()

    def keep(*words: object) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        keep_tasks(*words)

    monkeypatch.setattr(arrays_module, "keep_tasks", keep)
    with monkeypatch.context() as patch:
        patch.setattr(executor_module, "PATIENCE_S", 0.0)
        submit(entries_of(trials, tmp_path))
    outcome = read_json(trials[0].files(tmp_path / "runs").attempt(1).outcome)
    assert outcome["status"] == "unsubmitted" and "No space left" in outcome["message"]
    make_room = Timer(0.3, full.clear)
    make_room.start()
    submit(entries_of(trials, tmp_path))
    make_room.join()
    assert [has_job(trial, tmp_path) for trial in trials] == [True, True]


def test_a_machine_without_slurm_is_told_before_anything_is_claimed(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no sbatch and no srun on this machine"):
        submit(entries)
    assert not any(entry.files.attempts.exists() for entry in entries)


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
    (canary,) = Canaries(tmp_path / "runs").before({"alike": trials}, entries)
    write_json(canary.files.metrics, {})
    assert Canaries(tmp_path / "runs").before({"alike": trials[::-1]}, entries) == []
    assert len(canaries_of(tmp_path / "runs" / "demo")) == 1


def test_a_trial_that_joins_a_launch_waits_for_the_canary_its_kind_has(
    entries: list[Entry], trials: list[Trial], tmp_path: Path
) -> None:
    canaries = Canaries(tmp_path / "runs")
    (canary,) = canaries.before({"alike": trials[:1]}, entries)
    assert canaries.before({"alike": trials[1:]}, entries) == []
    assert [entry.parents for entry in entries] == [(canary.files,)] * 2
    assert not canaries.has_failed
    canary.phase = Phase.OVER
    assert canaries.has_failed
    write_json(canary.files.metrics, {})
    assert not canaries.has_failed


def test_cancelling_a_sweep_ends_its_canaries_until_the_next_launch(
    entries: list[Entry], trials: list[Trial], tmp_path: Path
) -> None:
    (canary,) = Canaries(tmp_path / "runs").before({"alike": trials}, entries)
    queued(canary.files)
    assert at_work(tmp_path / "runs" / "demo") == [canary.files]
    cancel_command("demo", [trials[0].id], False, tmp_path / "runs")
    assert not canary.files.cancel.exists(), "others may wait for it"
    cancel_command("demo", [], False, tmp_path / "runs")
    assert canary.files.cancel.exists()
    Canaries(tmp_path / "runs").before({"alike": trials}, entries)
    assert not canary.files.cancel.exists()
