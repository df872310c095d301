"""The launch loop where it must start nothing, or again and again; the rest is tested with whole sweeps."""

import io
import os
import re
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small_sweep import wait_until
from trials import small_config, write_domains

from launcher.executors import make_executor
from launcher.executors.base import Surroundings
from launcher.expand.executor_config import LocalConfig
from launcher.launching.claim import Submission
from launcher.launching.entry import Entry
from launcher.launching.launch import Launch
from launcher.launching.live import PlainView
from launcher.launching.placement import Place
from launcher.trial import Trial
from launcher.trials.prepare import prepare
from launcher.trials.waiting import absent_parents, find_waits
from segda_core.errors import DataError
from segda_core.files import read_json, write_json
from segda_core.trials.layout import TrialFiles


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", str(tmp_path / "locks"))


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    """A trial that this launcher found never started."""
    config, local = small_config(tmp_path), LocalConfig(max_parallel=1, retry=0)
    files = prepare(Trial("sweep", config), tmp_path / "runs")
    place = Place(make_executor(local, Surroundings(tmp_path / "runs" / "sweep")), local)
    return Entry(files, config, place, Submission("local", "hash"))


def run(entry: Entry) -> str:
    output = io.StringIO()
    launch = Launch([entry], PlainView(Console(file=output, width=1000)))
    assert launch.run(lambda ended: None)
    return output.getvalue()


def test_who_is_stopped_while_the_executor_gets_ready_starts_nothing(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ray head takes seconds to start."""
    executor = entry.place.executor
    reserve, released = executor.reserve, []

    def slowly(*given: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        room = reserve(*given)
        monkeypatch.setattr(type(room), "release", lambda self: released.append(self))
        return room

    monkeypatch.setattr(executor, "reserve", slowly)
    output = io.StringIO()
    assert not Launch([entry], PlainView(Console(file=output, width=1000))).run(lambda ended: None)
    assert not entry.files.attempt_numbers() and "started" not in output.getvalue() and len(released) == 1


def end_attempt(files: TrialFiles, **outcome: object) -> None:
    write_json(files.attempt(1).outcome, {"cause": None, "message": "", "step": 3, "time": 1.0, **outcome})


def test_what_failed_under_another_launcher_meanwhile_is_not_run_again(entry: Entry) -> None:
    end_attempt(entry.files, status="failed", cause="nan")
    assert run(entry).startswith(f"failed   {entry.id}: nan")
    assert entry.files.attempt_numbers() == [1]


def test_a_trial_cancelled_while_it_waits_is_not_started(entry: Entry) -> None:
    entry.files.cancel.touch()
    assert run(entry) == f"cancelled {entry.id}\n"
    assert entry.files.attempt_numbers() == []


def test_a_trial_that_ends_before_it_starts_makes_room_for_the_next_of_a_search(entry: Entry) -> None:
    entry.files.cancel.touch()
    launch, told = Launch([entry], PlainView(Console(file=io.StringIO()))), []
    assert launch.run(told.append)
    assert told == [False, True]


def test_a_directory_deleted_meanwhile_fails_its_trial_alone(entry: Entry) -> None:
    shutil.rmtree(entry.files.root)
    assert run(entry).startswith(f"failed   {entry.id}: disk: [Errno 2] No such file or directory")


def test_a_broken_file_is_no_fault_of_the_machine(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be broken once more: nothing is tried again."""
    entry.place = replace(entry.place, config=LocalConfig(max_parallel=1, retry=3))

    def claim(entry: Entry) -> None:
        raise DataError("metrics.json: it made nothing of that name")

    monkeypatch.setattr(Launch, "_claim", staticmethod(claim))
    assert run(entry) == f"failed   {entry.id}: data: metrics.json: it made nothing of that name\n"


@pytest.mark.processes
def test_a_trial_that_is_preempted_again_and_again_has_not_failed(entry: Entry, tmp_path: Path) -> None:
    write_domains(tmp_path)
    preempted = threading.Thread(target=preempt, args=(entry.files, 2), daemon=True)
    preempted.start()
    said = run(entry)
    assert re.findall("again .* in (.*) \\(stopped: SIGTERM", said) == ["4 s", "8 s"]
    outcomes = [read_json(entry.files.attempt(number).outcome)["status"] for number in (1, 2, 3)]
    assert outcomes == ["saved", "saved", "done"]


def preempt(files: TrialFiles, times: int) -> None:
    """Send TERM to the runners of the first attempts as soon as they can hear it."""
    for number in range(1, times + 1):
        runner = files.attempt(number).runner(0)
        wait_until(runner.exists, timeout=100)
        os.kill(read_json(runner)["pid"], signal.SIGTERM)


def finish(files: TrialFiles) -> None:
    """A result, as a trial that has parents' outputs would find it."""
    write_json(files.metrics, {"attempt": 1})


def test_parents_are_waited_for_as_long_as_somebody_is_at_them(tmp_path: Path) -> None:
    done, ours, missing, failed = (
        TrialFiles(tmp_path / name) for name in ("done", "ours", "missing", "failed")
    )
    finish(done)
    finish(ours)  # an old result: this launch runs it again
    failed.attempt(1).root.mkdir(parents=True)
    end_attempt(failed, status="failed", cause="nan")
    waits = find_waits([done, ours, missing, failed], lambda name: name == "ours")
    assert [(wait.parent.root.name, wait.in_vain) for wait in waits] == [
        ("ours", None),
        ("missing", "missing"),
        ("failed", "failed (nan)"),
    ]


def test_a_trial_that_has_begun_can_go_on_without_its_parents(entry: Entry) -> None:
    parents = {"init_from": {"trial": "parent", "output": "segmenter"}}
    write_json(entry.files.trial, {"parents": parents})
    assert [parent.root.name for parent in absent_parents(entry.files)] == ["parent"]
    write_json(entry.files.attempt(1).environment, {})
    assert absent_parents(entry.files) == []
