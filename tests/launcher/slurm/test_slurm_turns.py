"""Which attempt a start of a job works for, and how it leaves where there is nothing to do; no cluster."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.executors.base import Resources
from launcher.executors.slurm_start import JobStart, Turn, find_turn, take_turn
from launcher.executors.slurm_task import JobEndedError, NodeTask
from launcher.trials.life import SILENCE_S
from launcher.trials.waiting import absent_parents
from segda_core.files import read_json, write_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

AGAIN = JobStart("7_0", 1, node=1, host="second")
OURS = {"job_name": "segda-ours-1", "array_index": 0}


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    """A trial with a parent that is not done."""
    files = TrialFiles(tmp_path / "sweep" / "trial-1")
    write_json(files.trial, {"parents": {"init_from": {"trial": "parent", "output": "segmenter"}}})
    return files


@pytest.fixture
def first_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What Slurm tells a job there; the handlers of the task are taken back."""
    for name, value in {"JOB_ID": "7", "NODEID": "0", "RESTART_COUNT": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURMD_NODENAME", "first")
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGUSR2, signal.SIGTERM)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def submit(files: TrialFiles, number: int, **said: object) -> AttemptFiles:
    attempt = files.attempt(number)
    write_json(attempt.submission, {"fresh": False, **OURS, **said})
    return attempt


def start_runner(attempt: AttemptFiles, restart_count: int) -> None:
    write_json(
        attempt.runner(0), {"job_id": "7_0", "restart_count": restart_count, "rendezvous": "first:10000"}
    )


def test_other_nodes_wait_while_the_first_makes_the_next_attempt(files: TrialFiles) -> None:
    start_runner(submit(files, 1), restart_count=0)
    files.attempt(2).root.mkdir()  # the first node has made it, and not yet said whose it is

    def begin() -> None:
        time.sleep(0.3)
        start_runner(submit(files, 2), restart_count=1)

    first = threading.Thread(target=begin)
    first.start()
    turn = find_turn(files, "segda-ours-1", 0, AGAIN, nodes=2)
    first.join()
    assert turn == Turn(files.attempt(2), "first:10000")


def test_other_nodes_leave_where_the_next_attempt_is_another_jobs(files: TrialFiles) -> None:
    start_runner(submit(files, 1), restart_count=0)
    submit(files, 2, job_name="segda-other-1")
    assert find_turn(files, "segda-ours-1", 0, AGAIN, nodes=2) is None


def make_nameless(files: TrialFiles, number: int, seconds: float = 0) -> AttemptFiles:
    """An attempt whose maker has not said yet whose it is, or was killed before it could."""
    attempt = files.attempt(number)
    attempt.root.mkdir(parents=True)
    then = time.time() - seconds
    os.utime(attempt.root, (then, then))
    return attempt


@pytest.mark.parametrize("restart_count", [0, 1])
def test_an_attempt_whose_maker_was_killed_before_it_said_whose_it_is_holds_no_job_up(
    files: TrialFiles, restart_count: int
) -> None:
    submit(files, 1, canary="x")
    make_nameless(files, 2, seconds=2 * SILENCE_S)
    start = JobStart("7_0", restart_count, node=0, host="first")
    assert take_turn(files, "segda-ours-1", 0, start, nodes=1) == Turn(files.attempt(3), None)
    said = read_json(files.attempt(3).submission)
    assert (said["restart_count"], said["canary"], said["job_name"]) == (restart_count, "x", "segda-ours-1")
    assert not files.attempt(2).submission.exists()


@pytest.mark.parametrize("owner, taken", [("segda-ours-1", 3), ("segda-other-1", None)])
def test_an_attempt_that_somebody_just_makes_is_waited_for(
    files: TrialFiles, owner: str, taken: int | None
) -> None:
    submit(files, 1)
    make_nameless(files, 2)
    maker = threading.Timer(0.3, lambda: submit(files, 2, job_name=owner))
    maker.start()
    turn = take_turn(files, "segda-ours-1", 0, replace(AGAIN, node=0), nodes=1)
    maker.join()
    assert turn == (Turn(files.attempt(taken), None) if taken else None)


@pytest.mark.usefixtures("first_node")
@pytest.mark.parametrize("owner, outcome", [("segda-ours-1", "waits"), ("segda-other-1", None)])
def test_a_job_that_lacks_a_parent_says_so_of_its_own_attempt_alone(
    files: TrialFiles, owner: str, outcome: str | None
) -> None:
    attempt = submit(files, 1, job_name=owner)
    task = NodeTask(files.root, 1, "segda-ours-1", 0, Resources(), None)
    with pytest.raises(JobEndedError, match="waits for parent"):
        task()
    assert (read_json(attempt.outcome) or {}).get("status") == outcome


def test_what_starts_anew_has_not_begun(files: TrialFiles) -> None:
    write_json(submit(files, 1).environment, {})
    assert absent_parents(files) == []
    submit(files, 2, fresh=True)
    (parent,) = absent_parents(files)
    assert parent.root.name == "parent", "checkpoints from before do not count"
    write_json(files.attempt(2).environment, {})
    submit(files, 3)  # Slurm started the job again
    assert absent_parents(files) == []
