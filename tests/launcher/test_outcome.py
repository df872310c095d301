from pathlib import Path

import pytest

from launcher.outcome import Ending, judge
from segda_core.layout import AttemptFiles, TrialFiles, write_json

REPORT = """
ChildFailedError: segda_core.train FAILED
Root Cause (first observed failure):
[0]:
  time      : 2026-01-01_00:00:00
  rank      : 0 (local_rank: 0)
  exitcode  : {code} (pid: 17)
  error_file: <N/A>
"""


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
    return outcome["status"], outcome["cause"]


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
    assert (outcome["status"], outcome["step"]) == ("saved", 7)


def test_a_failure_before_the_signal_counts(files: TrialFiles, attempt: AttemptFiles) -> None:
    write_json(attempt.saved, {"step": 7, "time": 2.0})
    write_json(attempt.error(1), error("nan", 1.0))
    assert verdict(files, attempt) == ("failed", "nan")


def test_the_first_error_is_the_cause(files: TrialFiles, attempt: AttemptFiles) -> None:
    write_json(attempt.error(0), error("nccl", 5.0))
    write_json(attempt.error(1), error("data", 4.0))
    outcome = judge(files, attempt, Ending(1))
    assert (outcome["cause"], outcome["message"]) == ("data", "data at 4.0")


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
    ],
)
def test_cause_from_the_log(files: TrialFiles, attempt: AttemptFiles, log: str, cause: str) -> None:
    attempt.log.write_text(log)
    assert verdict(files, attempt) == ("failed", cause)


def test_the_message_is_what_was_raised(files: TrialFiles, attempt: AttemptFiles) -> None:
    attempt.log.write_text("ModuleNotFoundError: No module named 'timm'\n" + REPORT.format(code=1))
    assert judge(files, attempt, Ending(1))["message"] == "ModuleNotFoundError: No module named 'timm'"
