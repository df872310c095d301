"""What a trial does after its attempts have ended: how often it is tried again, after what pauses."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console
from trials import small_config

from launcher.executors import make_executor
from launcher.executors.base import Job, Surroundings
from launcher.expand.executor_config import LocalConfig
from launcher.launching.claim import Submission
from launcher.launching.entry import Entry, Phase
from launcher.launching.launch_view import ending, look
from launcher.launching.live import PlainView
from launcher.launching.placement import Place
from launcher.launching.settle import settle
from launcher.trials.progress import Progress
from launcher.trials.states import State, TrialStatus
from segda_core.trials.causes import EXPERIMENT_CAUSES, MACHINE_CAUSES
from segda_core.trials.layout import TrialFiles


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A trial that may be tried again seven times."""
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", str(tmp_path / "locks"))
    local = LocalConfig(max_parallel=1, retry=7)
    place = Place(make_executor(local, Surroundings(tmp_path / "runs" / "sweep")), local)
    files = TrialFiles(tmp_path / "runs" / "sweep" / "trial")
    return Entry(files, small_config(tmp_path), place, Submission("local", "hash"))


def fail(entry: Entry, cause: str, attempt: int) -> str:
    """What is said when that attempt has failed."""
    output = io.StringIO()
    status = TrialStatus(entry.id, State.FAILED, cause, "as it was", attempt)
    over = settle(entry, status, PlainView(Console(file=output, width=1000)), stopping=False)
    assert over is (entry.phase is Phase.OVER)
    return output.getvalue()


@pytest.mark.parametrize("cause", MACHINE_CAUSES)
def test_what_the_machine_broke_is_tried_again_after_longer_and_longer_pauses(
    entry: Entry, cause: str
) -> None:
    pauses = ["2 s", "4 s", "8 s", "16 s", "32 s", "1 min 00 s", "1 min 00 s"]
    for attempt, pause in enumerate(pauses, start=1):
        assert fail(entry, cause, attempt) == f"again    {entry.id} in {pause} ({cause}: as it was)\n"
        assert entry.phase is Phase.WAITING and entry.seen == attempt
    assert fail(entry, cause, 8).startswith(f"failed   {entry.id}: {cause}")


@pytest.mark.parametrize("cause", EXPERIMENT_CAUSES)
def test_what_the_experiment_broke_is_not(entry: Entry, cause: str) -> None:
    assert fail(entry, cause, 1).startswith(f"failed   {entry.id}: {cause}")


def test_a_job_that_came_before_its_parents_waits_for_them(entry: Entry) -> None:
    """Those in this launch: whether anybody finishes the others is seen before it starts again."""
    status = TrialStatus(
        entry.id, State.MISSING, message="waits for p", attempt=1, not_again=True, came_too_early=True
    )
    output = io.StringIO()
    assert not settle(entry, status, PlainView(Console(file=output, width=1000)), stopping=False)
    assert (entry.phase, entry.seen, entry.retries) == (Phase.WAITING, 1, 0)
    assert output.getvalue() == f"again    {entry.id} in 4 s (stopped: waits for p)\n"
    assert settle(entry, status, PlainView(Console(file=output, width=1000)), stopping=True)


@pytest.mark.parametrize("state", State)
def test_the_line_about_an_end_begins_with_the_state_and_the_trial_as_words(
    entry: Entry, state: State
) -> None:
    line, _ = ending(entry, TrialStatus(entry.id, state, message="as it was"))
    assert line.split()[:2] == [state, f"{entry.id}:"]


def test_the_end_of_a_trial_without_a_score_shows_none(entry: Entry) -> None:
    """As of a task that makes labels or images."""
    for miou, words in ((0.5, "mIoU 50.00 elsewhere"), (None, "elsewhere")):
        line, _ = ending(entry, TrialStatus(entry.id, State.DONE, miou=miou))
        assert line == f"done     {entry.id}: {words}"


def test_the_end_of_a_trial_tells_of_images_that_it_could_not_use(entry: Entry) -> None:
    skipped = {"training_skipped": ["a.png"], "validation_skipped": ["b.png", "c.png"], "labels_resized": 1}
    for metrics, note in (
        (skipped, "1 training image skipped, 2 validation images skipped, 1 label resized"),
        ({"training_skipped": [], "validation_skipped": [], "labels_resized": 0}, None),
        ({"outputs": {}}, None),
    ):
        output = io.StringIO()
        status = TrialStatus(entry.id, State.DONE, miou=0.5, metrics=metrics)
        assert settle(entry, status, PlainView(Console(file=output, width=1000)), stopping=False)
        notes = [] if note is None else [f"note     {entry.id}: {note}"]
        assert output.getvalue().splitlines()[1:] == notes


def test_time_left_counts_what_trials_to_come_take_beside_their_steps(entry: Entry) -> None:
    """Of five trials with 6 steps two took 10 s, of which 3 s were steps; one is half way, two wait."""
    entries = [replace(entry, files=TrialFiles(entry.files.root.with_name(name))) for name in "abcde"]
    view = PlainView(Console(file=io.StringIO()))
    for ended in entries[:2]:
        ended.progress, ended.started = Progress(step=4, steps_per_second=2.0), time.monotonic() - 10.0
        ended.job = cast(Job, object())
        assert settle(ended, TrialStatus(ended.id, State.DONE, attempt=1), view, stopping=False)
    running = entries[2]
    running.phase, attempt = Phase.RUNNING, running.files.attempt(1)
    attempt.root.mkdir(parents=True)
    rows = [{"step": step, "losses": {}, "time": 100 + step / 2} for step in (1, 2, 3)]
    attempt.history.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert look(entries).seconds_left == pytest.approx((3 + 6 + 6) / 2.0 + 2 * (10.0 - 3.0), abs=0.5)
    attempt.history.write_text(json.dumps({**rows[0], "step": 6}) + "\n")
    assert look(entries[:3]).seconds_left is None
