import subprocess
from pathlib import Path

import pytest
from trials import small_config

from launcher.executors.ray_head import free_port
from launcher.processes.command import Node, worker_command
from launcher.trials.judge import Ending, judge
from segda_core.files import write_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

REPORT = """
ChildFailedError: segda_core.train FAILED
Root Cause (first observed failure):
[0]:
  time      : 2026-01-01_00:00:00
  rank      : 0 (local_rank: 0)
  exitcode  : {code} (pid: 17)
  error_file: <N/A>
"""

AGENT = """
    self._store = TCPStore(  # type: ignore[call-arg]
                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
torch.distributed."""
"""The end of a traceback of torchrun's agent: no worker had begun, so none wrote errors/RANK.json."""


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    return TrialFiles(tmp_path)


@pytest.fixture
def attempt(files: TrialFiles) -> AttemptFiles:
    attempt = files.attempt(2)
    attempt.root.mkdir(parents=True)
    attempt.log.touch()
    return attempt


def verdict(files: TrialFiles, attempt: AttemptFiles, **ending: object) -> tuple[str, str | None]:
    outcome = judge(files, attempt, Ending(**{"returncode": 1, **ending}))
    return outcome.status, outcome.cause


def error(cause: str, time: float) -> dict:
    return {"cause": cause, "message": f"{cause} at {time}", "traceback": "", "time": time}


def test_done_whatever_torchrun_returned(files: TrialFiles, attempt: AttemptFiles) -> None:
    write_json(files.metrics, {"attempt": 2})
    assert verdict(files, attempt, asked_by="SIGTERM") == ("done", None)


def test_a_result_that_another_attempt_published_first(files: TrialFiles, attempt: AttemptFiles) -> None:
    write_json(files.metrics, {"attempt": 1})
    write_json(attempt.metrics, {"attempt": 2})
    assert verdict(files, attempt, returncode=0) == ("superseded", None)


def test_superseded(files: TrialFiles, attempt: AttemptFiles) -> None:
    write_json(attempt.superseded, {"step": 3, "time": 1.0})
    assert verdict(files, attempt, returncode=0) == ("superseded", None)


def test_saved_after_a_signal_although_torchrun_returns_1(files: TrialFiles, attempt: AttemptFiles) -> None:
    write_json(attempt.saved, {"step": 7, "time": 1.0})
    write_json(attempt.error(1), error("nccl", 2.0))
    outcome = judge(files, attempt, Ending(1, asked_by="SIGUSR2"))
    assert (outcome.status, outcome.step) == ("saved", 7)


def test_a_failure_before_the_signal_counts(files: TrialFiles, attempt: AttemptFiles) -> None:
    write_json(attempt.saved, {"step": 7, "time": 2.0})
    write_json(attempt.error(1), error("nan", 1.0))
    assert verdict(files, attempt) == ("failed", "nan")


def test_the_first_error_is_the_cause(files: TrialFiles, attempt: AttemptFiles) -> None:
    write_json(attempt.error(0), error("nccl", 5.0))
    write_json(attempt.error(1), error("data", 4.0))
    outcome = judge(files, attempt, Ending(1))
    assert (outcome.cause, outcome.message) == ("data", "data at 4.0")


def test_peers_that_lost_a_killed_worker_are_not_the_cause(files: TrialFiles, attempt: AttemptFiles) -> None:
    write_json(attempt.error(0), error("nccl", 5.0))
    attempt.log.write_text(REPORT.format(code=-9))
    assert verdict(files, attempt) == ("failed", "killed")


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ({"cancelled": True, "asked_by": "SIGTERM"}, ("cancelled", None)),
        ({"stalled_min": 30.0, "asked_by": "SIGTERM"}, ("failed", "timeout")),
        ({"asked_by": "SIGTERM"}, ("saved", None)),
        ({"asked_by": "SIGTERM", "out_of_patience": True}, ("failed", "killed")),
        ({"memory_ran_out": True}, ("failed", "oom")),
        ({"returncode": -9}, ("failed", "killed")),
        ({"returncode": 0}, ("failed", "code")),
    ],
)
def test_without_a_word_of_the_workers(
    files: TrialFiles, attempt: AttemptFiles, ending: dict, expected: tuple[str, str | None]
) -> None:
    assert verdict(files, attempt, **ending) == expected


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (REPORT.format(code=-9), "killed"),
        (REPORT.format(code=137), "killed"),
        (REPORT.format(code=-11), "code"),
        ("Watchdog caught collective operation timeout: NCCL\n" + REPORT.format(code=-6), "nccl"),
        ("OSError: [Errno 28] No space left on device\n" + REPORT.format(code=1), "disk"),
        ("ModuleNotFoundError: No module named 'timm'\n" + REPORT.format(code=1), "code"),
        (
            AGENT + "DistStoreError: Timed out after 301 seconds waiting for clients. 1/2 clients joined.\n",
            "nccl",
        ),
        (
            AGENT
            + "DistNetworkError: The client socket has timed out after 300000ms while trying to connect.\n",
            "nccl",
        ),
        ("torch.distributed.elastic.rendezvous.api.RendezvousTimeoutError\n", "nccl"),
        (
            "RuntimeError: The server socket has failed to listen: EADDRINUSE, address already in use\n",
            "nccl",
        ),
        ("OSError: [Errno 98] Address already in use\n", "nccl"),
        (AGENT + "DistNetworkError: lost\nKeyError: 'step'\n" + REPORT.format(code=1), "code"),
    ],
)
def test_cause_from_the_log(files: TrialFiles, attempt: AttemptFiles, log: str, cause: str) -> None:
    attempt.log.write_text(log)
    assert verdict(files, attempt) == ("failed", cause)


def test_the_message_is_what_was_raised(files: TrialFiles, attempt: AttemptFiles) -> None:
    attempt.log.write_text("ModuleNotFoundError: No module named 'timm'\n" + REPORT.format(code=1))
    assert judge(files, attempt, Ending(1)).message == "ModuleNotFoundError: No module named 'timm'"


@pytest.mark.processes
def test_an_agent_that_waits_in_vain_for_the_other_node(files: TrialFiles, attempt: AttemptFiles) -> None:
    node = Node(rank=0, rendezvous=f"127.0.0.1:{free_port()}")
    command = worker_command(files.root, 2, small_config(files.root, ranks=2), nodes=2, node=node)
    command[command.index("--rdzv-conf") + 1] = "timeout=1"
    with attempt.log.open("wb") as log:
        returncode = subprocess.run(command, stderr=log, check=False).returncode
    outcome = judge(files, attempt, Ending(returncode))
    assert (outcome.status, outcome.cause) == ("failed", "nccl")
    assert "1/2 clients joined" in outcome.message
