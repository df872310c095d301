"""What a trial waits for before it starts."""

import os
import time
from pathlib import Path

import pytest

from launcher.launching.settle import BACKOFF_LIMIT_S
from launcher.processes.process import identity, pid_start
from launcher.trials.outcome import Outcome, Status, write_outcome
from launcher.trials.waiting import PAUSE_AT_MOST_S, Wait, absent_parents, find_waits
from segda_core.files import write_json
from segda_core.trials.layout import TrialFiles


def made(folder: Path, name: str, parent: str | None = None, **more: object) -> TrialFiles:
    files = TrialFiles(folder / name)
    files.root.mkdir(parents=True)
    parents = {} if parent is None else {"init_from": {"trial": parent, "output": "segmenter"}}
    write_json(files.trial, {"parents": parents, **more})
    return files


@pytest.fixture
def child(tmp_path: Path) -> TrialFiles:
    """Its parent `b` is done; its canary takes something from `a`, which is not."""
    made(tmp_path, "a")
    write_json(made(tmp_path, "b").metrics, {})
    made(tmp_path, ".canary/slurm-x/c", "../../a", stage="canary")
    files = made(tmp_path, "child", "b")
    files.attempt(1).root.mkdir(parents=True)
    write_json(files.attempt(1).submission, {"executor": "slurm", "canary": ".canary/slurm-x/c"})
    return files


def parents_of(child: TrialFiles) -> list[TrialFiles]:
    return [TrialFiles(child.root.parent / name) for name in ("b", ".canary/slurm-x/c")]


def test_a_canary_that_lacks_its_parents_holds_nobody_up(child: TrialFiles) -> None:
    assert absent_parents(child) == []
    assert find_waits(parents_of(child), lambda _: False) == []


def test_as_long_as_somebody_is_at_it_it_is_waited_for(child: TrialFiles) -> None:
    canary = parents_of(child)[1]
    assert find_waits(parents_of(child), lambda trial: trial == "c") == [Wait(canary)]


def test_one_that_could_have_run_does(child: TrialFiles) -> None:
    write_json(child.root.parent / "a" / "metrics.json", {})
    assert absent_parents(child) == [parents_of(child)[1]]
    (wait,) = find_waits(parents_of(child), lambda _: False)
    assert wait.in_vain is not None


@pytest.mark.parametrize(
    ("cause", "launcher", "seconds", "waits"),
    [
        ("killed", "elsewhere", 5, True),
        ("killed", "elsewhere", PAUSE_AT_MOST_S + 5, False),
        ("killed", "here", 5, True),
        ("killed", "gone", 5, False),
        ("killed", "this one", 5, False),
        ("code", "elsewhere", 5, False),
    ],
)
def test_a_parent_that_another_launch_is_about_to_try_again_is_waited_for(
    tmp_path: Path, cause: str, launcher: str, seconds: float, waits: bool
) -> None:
    """While it pauses; unless it is known to be gone, or is this launch, which is through with the parent."""
    parent = made(tmp_path, "parent")
    attempt = parent.attempt(1)
    init = {**identity(), "pid": 1, "pid_start": pid_start(1)}
    who = {
        "elsewhere": {**identity(), "host": "another"},
        "here": init,
        "gone": {**init, "pid_start": -1},
        "this one": identity(),
    }[launcher]
    write_json(attempt.submission, {"executor": "local", **who})
    write_outcome(attempt, Outcome(Status.FAILED, "", cause))
    then = time.time() - seconds
    os.utime(attempt.outcome, (then, then))
    (wait,) = find_waits([parent], lambda _: False)
    assert (wait.in_vain is None) is waits
    assert PAUSE_AT_MOST_S > BACKOFF_LIMIT_S
