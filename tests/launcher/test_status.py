import io
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from launcher.cli import app
from launcher.commands.status_view import as_json, in_words, read_sweep, render_sweep
from launcher.leaderboard import Today
from launcher.processes.process import identity
from launcher.status import read_status
from launcher.trials.find import trial_directories
from launcher.trials.progress import Progress, read_progress
from launcher.trials.states import State, TrialStatus
from segda_core.files import read_json, write_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

METRICS = {
    "attempt": 1, "steps": 6, "images_per_second": 10.0, "miou": 0.5,
    "manifest_hash": "then", "code": {"commit": "abc"},
}  # fmt: skip
HEARTBEAT = {"step": 4, "steps": 6, "images_per_second": 8.0, "time": 100.0, "phase": "train"}


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    files = TrialFiles(tmp_path / "sweep" / "trial-1")
    write_json(files.trial, {"id": "trial-1"})
    return files


def make_attempt(files: TrialFiles, number: int = 1, **outcome: object) -> AttemptFiles:
    attempt = files.attempt(number)
    attempt.root.mkdir(parents=True)
    write_json(
        attempt.submission, {"executor": "local", "manifest_hash": "then", **identity(), "pid_start": 1}
    )
    if outcome:
        write_json(attempt.outcome, {"cause": None, "message": "", "step": None, "time": 1.0, **outcome})
    return attempt


def write_history(attempt: AttemptFiles, *rows: dict, rest: str = "") -> None:
    attempt.history.write_text("".join(json.dumps(row) + "\n" for row in rows) + rest)


def test_missing_without_attempt_or_directory(files: TrialFiles, tmp_path: Path) -> None:
    assert read_status(files) == TrialStatus("trial-1", State.MISSING)
    assert read_status(TrialFiles(tmp_path / "nowhere")).state is State.MISSING


def test_done_stale_and_older_code(files: TrialFiles) -> None:
    make_attempt(files, status="done")
    write_json(files.metrics, METRICS)
    status = read_status(files, {files.root.name: "then"}, "abc")
    assert (status.state, status.miou, status.older_code) == (State.DONE, 0.5, False)
    assert read_status(files, {files.root.name: "now"}, "abc").state is State.STALE
    assert read_status(files, {files.root.name: "then"}, "def").older_code


def test_running_while_its_runner_runs(files: TrialFiles) -> None:
    attempt = make_attempt(files)
    write_json(attempt.runner(0), identity())
    write_json(attempt.heartbeat, HEARTBEAT)
    status = read_status(files)
    assert (status.state, status.step, status.steps, status.images_per_second) == (State.RUNNING, 4, 6, 8.0)


def test_queued_before_its_runner(files: TrialFiles) -> None:
    attempt = make_attempt(files)
    write_json(attempt.submission, {"executor": "slurm", "manifest_hash": "then", **identity()})
    assert read_status(files).state is State.QUEUED


def test_killed_where_nothing_lives(files: TrialFiles) -> None:
    make_attempt(files)
    status = read_status(files)
    assert (status.state, status.cause, status.attempt) == (State.FAILED, "killed", 1)


@pytest.mark.parametrize(
    ("outcome", "state", "cause"),
    [
        ({"status": "failed", "cause": "nan"}, State.FAILED, "nan"),
        ({"status": "saved"}, State.MISSING, None),
        ({"status": "superseded"}, State.MISSING, None),
        ({"status": "stopped"}, State.STOPPED, None),
        ({"status": "done"}, State.MISSING, None),
    ],
)
def test_the_newest_outcome_decides(
    files: TrialFiles, outcome: dict, state: State, cause: str | None
) -> None:
    make_attempt(files, 9, status="failed", cause="oom")
    make_attempt(files, 10, **outcome)
    status = read_status(files)
    assert (status.state, status.cause, status.attempt) == (state, cause, 10)


@pytest.mark.parametrize("outcome", [{"status": "cancelled"}, {"status": "failed", "cause": "killed"}])
def test_cancelled_while_the_marker_is_there(files: TrialFiles, outcome: dict) -> None:
    make_attempt(files, **outcome)
    files.cancel.touch()
    assert read_status(files).state is State.CANCELLED
    files.cancel.unlink()
    assert read_status(files).state is not State.CANCELLED


def test_an_unfinished_trial_whose_images_changed(files: TrialFiles) -> None:
    make_attempt(files, status="saved")
    assert read_status(files, {files.root.name: "now"}).inputs_changed
    assert not read_status(files, {files.root.name: "then"}).inputs_changed


def test_a_claim_without_a_word_does_not_hide_that_images_changed(files: TrialFiles) -> None:
    make_attempt(files, status="saved")
    files.attempt(2).root.mkdir()
    age = time.time() - 100
    os.utime(files.attempt(2).root, (age, age))
    assert read_status(files, {files.root.name: "now"}).inputs_changed


@pytest.mark.parametrize("name", ["metrics.json", "attempts/1/outcome.json", "attempts/1/heartbeat.json"])
@pytest.mark.parametrize("content", ["", '{"step": 1'])
def test_a_broken_file_fails_its_trial_alone(files: TrialFiles, name: str, content: str) -> None:
    make_attempt(files)
    (files.root / name).write_text(content)
    status = read_status(files, {files.root.name: "then"}, "abc")
    assert (status.state, status.cause) == (State.FAILED, None)
    assert "--rerun trial-1" in status.message
    assert [found.state for found in read_sweep(files.root.parent, Today())] == [State.FAILED]


def test_progress_is_the_newest_of_heartbeat_and_history(files: TrialFiles) -> None:
    attempt = make_attempt(files)
    write_json(attempt.heartbeat, {**HEARTBEAT, "steps": 20, "phase": "start"})
    rows = [{"step": 2 * row, "losses": {}, "time": 10.0 + row} for row in range(1, 5)]
    write_history(attempt, rows[0], {"step": 3, "miou": 0.25, "time": 12.0}, *rows[1:], rest='{"step": 9')
    progress = read_progress(files)
    assert (progress.step, progress.miou, progress.steps_per_second) == (8, 0.25, 2.0)
    assert (progress.phase, progress.seconds_left) == ("train", 6.0)
    assert replace(progress, step=20).seconds_left is None, "its last step is made: it is evaluated"


def test_no_progress_yet(files: TrialFiles) -> None:
    assert read_progress(files) == Progress()
    make_attempt(files)
    assert read_progress(files) == Progress()


def resumed(files: TrialFiles) -> AttemptFiles:
    """An attempt with evaluations at steps 3 and 6, and one that goes on from step 4."""
    first = make_attempt(files, 1, status="failed", cause="node")
    write_json(first.heartbeat, {**HEARTBEAT, "step": 6, "steps": 20})
    scores = [{"step": step, "miou": step / 10, "time": step} for step in (3, 6)]
    write_history(first, *scores, {"step": 6, "losses": {}, "time": 6.0}, rest='{"step": 7, "mi')
    return make_attempt(files, 2)


def test_the_score_so_far_is_the_trials_and_not_the_newest_attempts(files: TrialFiles) -> None:
    second = resumed(files)
    waiting = read_status(files)
    assert (waiting.attempt, waiting.step, waiting.steps, waiting.miou) == (2, 6, 20, 0.6)
    write_json(second.environment, {"first_step": 4})
    write_json(second.heartbeat, {**HEARTBEAT, "step": 4, "steps": 20})
    status = read_status(files)
    assert (status.step, status.steps, status.miou) == (4, 20, 0.3)
    write_history(second, {"step": 6, "losses": {}, "time": 99.0}, {"step": 9, "miou": 0.9, "time": 100.0})
    status = read_status(files)
    assert (status.step, status.miou) == (9, 0.9)


def test_the_speed_is_the_newest_attempts(files: TrialFiles) -> None:
    second = resumed(files)
    write_json(second.heartbeat, HEARTBEAT)
    write_history(second, {"step": 6, "losses": {}, "time": 99.0})
    assert read_progress(files).steps_per_second is None


def test_a_fresh_attempt_shows_nothing_of_those_before(files: TrialFiles) -> None:
    second = resumed(files)
    write_json(second.submission, {**(read_json(second.submission) or {}), "fresh": True})
    status = read_status(files)
    assert (status.step, status.miou) == (None, None)


def test_a_sweep_is_its_plan_and_its_directories(files: TrialFiles) -> None:
    make_attempt(files, status="failed", cause="nan")
    sweep = files.root.parent
    write_json(sweep / "plan.json", {"schema": 1, "data": {"a": ["trial-1"], "b": ["trial-2"]}})
    (sweep / "not-a-trial").mkdir()
    assert [found.root.name for found in trial_directories(sweep)] == ["trial-1"]
    statuses = read_sweep(sweep, Today())
    assert in_words(statuses) == "1 failed (nan), 1 missing"
    older = TrialStatus("trial-3", State.DONE, older_code=True)
    assert in_words([*statuses, older, older]) == "2 done (2 by older code), 1 failed (nan), 1 missing"
    rows = as_json([sweep], Today())["sweep"]
    assert [(row["id"], row["state"]) for row in rows] == [("trial-1", "failed"), ("trial-2", "missing")]


def test_ten_thousand_trials_in_three_seconds(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    for number in range(1000):
        files = TrialFiles(sweep / f"trial-{number}")
        files.attempt(1).root.mkdir(parents=True)
        files.trial.write_text("{}")
        text = json.dumps({**METRICS, "status": "done", "message": ""})
        (files.metrics if number % 2 else files.attempt(1).outcome).write_text(text)
    started = time.process_time()
    assert len(read_sweep(sweep, Today())) == 1000
    assert time.process_time() - started < 3.0 / 10


PARENT = {"trial": "parent-1", "output": "segmenter", "sha256": "then"}


def parent_makes(files: TrialFiles, sha256: str, **metrics: object) -> TrialFiles:
    """A finished parent beside the trial."""
    parent = TrialFiles(files.root.parent / "parent-1")
    outputs = {"segmenter": {"path": "final.pt", "sha256": sha256}}
    write_json(parent.metrics, {**METRICS, "outputs": outputs, **metrics})
    return parent


def test_a_parent_with_another_result_makes_a_result_stale(files: TrialFiles) -> None:
    write_json(files.metrics, {**METRICS, "parents": {"init_from": PARENT}})
    assert read_status(files).state is State.DONE  # the parent is gone, or is being run again
    parent_makes(files, "then")
    assert read_status(files).state is State.DONE
    parent_makes(files, "now")
    status = read_status(files)
    assert (status.state, status.message) == (State.STALE, "its parent parent-1 changed since")


def test_a_changed_grandparent_makes_a_result_stale(files: TrialFiles) -> None:
    write_json(files.metrics, {**METRICS, "parents": {"init_from": PARENT}})
    above = {**PARENT, "trial": "grandparent-1"}
    parent_makes(files, "then", parents={"init_from": above})
    grandparent = TrialFiles(files.root.parent / "grandparent-1")
    outputs = {"segmenter": {"path": "final.pt", "sha256": "now"}}
    write_json(grandparent.metrics, {**METRICS, "outputs": outputs})
    assert read_status(files).message == "its parent grandparent-1 changed since"


def test_other_images_of_a_grandparent_make_a_result_stale_before_it_is_made_again(files: TrialFiles) -> None:
    write_json(files.metrics, {**METRICS, "parents": {"init_from": PARENT}})
    parent_makes(files, "then", parents={"init_from": {**PARENT, "trial": "grandparent-1"}})
    grandparent = TrialFiles(files.root.parent / "grandparent-1")
    assert read_status(files, {"grandparent-1": "now"}).state is State.DONE  # it is gone
    outputs = {"segmenter": {"path": "final.pt", "sha256": "then"}}
    write_json(grandparent.metrics, {**METRICS, "outputs": outputs})
    assert read_status(files, {"grandparent-1": "then", "parent-1": "then"}).state is State.DONE
    status = read_status(files, {"grandparent-1": "now"})
    assert status.state is State.STALE
    assert status.message == "its parent grandparent-1 changed since"


def test_an_unfinished_trial_goes_on_though_the_images_of_its_parent_are_others(files: TrialFiles) -> None:
    """What it reads of the parent is what it was; starting anew each time would never end."""
    name_parent(files)
    parent_makes(files, "then")
    write_json(files.attempt(1).submission, {"manifest_hash": "then", "parents": {"init_from": PARENT}})
    write_json(files.attempt(1).environment, {"parents": {"init_from": PARENT}})
    assert read_status(files, {"parent-1": "now"}).inputs_changed == ""


def name_parent(files: TrialFiles) -> None:
    parents = {"init_from": {"trial": "parent-1", "output": "segmenter"}}
    write_json(files.trial, {"id": "trial-1", "parents": parents})


def test_a_trial_says_which_parents_it_waits_for(files: TrialFiles) -> None:
    name_parent(files)
    status = read_status(files)
    assert (status.state, status.message, status.waits_for) == (
        State.MISSING,
        "waits for parent-1",
        ("parent-1",),
    )
    parent_makes(files, "then")
    assert read_status(files).waits_for == ()


def test_an_unfinished_trial_whose_parent_changed(files: TrialFiles) -> None:
    name_parent(files)
    begun = {"first_step": 0, "parents": {"init_from": PARENT}}
    write_json(make_attempt(files, status="saved").environment, begun)
    parent_makes(files, "then")
    assert read_status(files).inputs_changed == ""
    parent_makes(files, "now")
    assert read_status(files).inputs_changed == "its parent parent-1 changed"
    files.attempt(2).root.mkdir()  # claimed, and killed before it read anything
    age = time.time() - 100
    os.utime(files.attempt(2).root, (age, age))
    assert read_status(files).inputs_changed == "its parent parent-1 changed"


LONG_ID = "student_oracle_teacher-carla_camvid-n305-s0-0123456789ab"


@pytest.fixture
def long_sweep(tmp_path: Path) -> Path:
    """A trial that runs and one that is cancelled, with long ids and long numbers."""
    sweep = tmp_path / "runs" / "sweep"
    running, cancelled = (TrialFiles(sweep / f"{LONG_ID[:-1]}{number}") for number in range(2))
    for files in (running, cancelled):
        write_json(files.trial, {"id": files.root.name})
        attempt = make_attempt(files)
        write_json(attempt.heartbeat, {**HEARTBEAT, "step": 123_456, "steps": 250_000})
        rows = [{"step": step, "losses": {}, "time": step / 170} for step in (123_286, 123_456)]
        write_history(attempt, {"step": 100, "miou": 0.4567, "time": 1.0}, *rows)
    write_json(running.attempt(1).runner(0), identity())
    cancelled.cancel.touch()
    return sweep


NUMBERS = "        1  123456/250000       8.0  (45.67)"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_on_a_terminal_an_id_has_a_line_of_its_own_and_no_number_loses_its_end(
    long_sweep: Path, width: int
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    console.print(render_sweep(long_sweep, Today()))
    lines = console.file.getvalue().splitlines()
    words = " ".join(lines).split()
    assert max(map(len, lines)) <= width
    assert {"running", f"{LONG_ID[:-1]}0", "cancelled", f"{LONG_ID[:-1]}1"} <= {*words}
    header, running, cancelled = (line for line in lines if line.endswith(("left", "12 min 24 s", " -")))
    assert header.endswith("  attempt           step  images/s     mIoU         left")
    assert running.endswith(f"{NUMBERS}  12 min 24 s")
    assert cancelled.endswith(f"{NUMBERS}            -")


def test_without_a_terminal_every_trial_has_one_whole_line(long_sweep: Path) -> None:
    command = ["status", "sweep", "--runs", str(long_sweep.parent)]
    _, running, cancelled, *rest = CliRunner().invoke(app, command).stdout.splitlines()
    assert running.split() == ["running", f"{LONG_ID[:-1]}0", *NUMBERS.split(), "12", "min", "24", "s"]
    assert cancelled.split() == ["cancelled", f"{LONG_ID[:-1]}1", *NUMBERS.split(), "-"]
    assert rest[-1] == "sweep: 1 running, 1 cancelled"
