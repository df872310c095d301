"""Which attempt a start of a job works for, and how it leaves where there is nothing to do; no cluster."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.executors.base import Resources
from launcher.executors.slurm_start import JobStart, Turn, find_turn
from launcher.executors.slurm_task import JobEndedError, NodeTask
from launcher.waiting import absent_parents
from segda_core.layout import AttemptFiles, TrialFiles, read_json, write_json

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
    assert absent_parents(files) == ["parent"], "checkpoints from before do not count"
    write_json(files.attempt(2).environment, {})
    submit(files, 3)  # Slurm started the job again
    assert absent_parents(files) == []
