import errno
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_sweep import wait_until
from trials import small_config

from launcher.launching.claim import Submission, claim
from launcher.processes.process import ATTEMPT_VARIABLE, identity
from launcher.trial import Trial
from launcher.trials.life import SILENCE_S, file_system_time, is_alive
from launcher.trials.outcome import Outcome, Status, write_outcome
from launcher.trials.prepare import prepare, read_config
from segda_core.files import read_json, write_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

HERE = identity()
GONE = {**HERE, "pid_start": HERE["pid_start"] - 1}
ELSEWHERE = {**HERE, "host": "elsewhere"}


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    trial = TrialFiles(tmp_path / "sweep" / "trial")
    trial.root.mkdir(parents=True)
    return trial


def make_attempt(files: TrialFiles, number: int = 1, **records: dict) -> AttemptFiles:
    attempt = files.attempt(number)
    attempt.root.mkdir(parents=True)
    for name, content in records.items():
        path = attempt.runner(0) if name == "runner" else attempt.root / f"{name}.json"
        rest = {"message": "", "cause": None, "step": None} if name == "outcome" else {}
        write_json(path, {**rest, **content})
    return attempt


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def submission(**who: object) -> dict:
    return {"executor": "local", **who}


def test_the_first_claim_is_attempt_1_and_says_who_made_it(files: TrialFiles) -> None:
    attempt = claim(files, Submission("local", "hash", launch_id="abc"))
    assert attempt is not None and attempt.number == 1
    content = read_json(attempt.submission)
    assert content is not None and content.pop("time") == pytest.approx(time.time(), abs=5)
    said = {"executor": "local", "manifest_hash": "hash", "fresh": False, "launch_id": "abc"}
    assert content == {**said, "parents": {}, "snapshot": None, "canary": None, **HERE}


def test_a_claim_takes_the_settings_of_today_and_only_a_claim_that_succeeds(tmp_path: Path) -> None:
    first, second, third = (Trial("sweep", small_config(tmp_path, workers=count)) for count in (0, 1, 2))
    files = prepare(first, tmp_path)
    assert prepare(second, tmp_path) == files and read_config(files) == first.config
    attempt = claim(files, Submission("local", "hash"), second.config)
    assert attempt is not None and read_config(files) == second.config
    write_json(attempt.runner(0), HERE)
    assert claim(files, Submission("local", "hash"), third.config) is None
    assert read_config(files) == second.config, "an attempt is alive that may be reading it"
    write_outcome(attempt, Outcome(Status.FAILED, "", "killed"))
    assert claim(files, Submission("local", "hash"), third.config) is not None
    assert read_config(files) == third.config


def test_one_of_many_claims_at_once_succeeds(files: TrialFiles) -> None:
    make_attempt(files, outcome={"status": "failed"})
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: claim(files, Submission("slurm", "hash")), range(64)))
    assert [attempt.number for attempt in made if attempt is not None] == [2]


def test_no_claim_of_a_finished_trial(files: TrialFiles) -> None:
    make_attempt(files, outcome={"status": "done"})
    write_json(files.metrics, {"attempt": 1})
    assert claim(files, Submission("local", "hash")) is None
    assert files.attempt_numbers() == [1]


def test_a_fresh_claim_takes_the_result_away(files: TrialFiles) -> None:
    make_attempt(files, outcome={"status": "done"})
    write_json(files.metrics, {"attempt": 1})
    attempt = claim(files, Submission("local", "hash", fresh=True))
    assert attempt is not None and attempt.number == 2
    assert not files.metrics.exists()


def test_no_claim_while_an_attempt_lives(files: TrialFiles) -> None:
    make_attempt(files, submission=submission(**ELSEWHERE))
    assert claim(files, Submission("local", "hash")) is None


@pytest.mark.parametrize(("runner", "alive"), [(HERE, True), (GONE, False)])
def test_on_one_machine_the_runner_decides(files: TrialFiles, runner: dict, alive: bool) -> None:
    attempt = make_attempt(files, submission=submission(**GONE), runner=runner, heartbeat={"step": 1})
    if alive:
        age(attempt.heartbeat, 10 * SILENCE_S)
    assert is_alive(attempt) is alive


def test_an_outcome_ends_an_attempt(files: TrialFiles) -> None:
    assert not is_alive(make_attempt(files, runner=HERE, outcome={"status": "saved"}))


@pytest.mark.parametrize(("seconds", "alive"), [(SILENCE_S - 10, True), (SILENCE_S + 10, False)])
def test_elsewhere_the_heartbeat_decides(files: TrialFiles, seconds: float, alive: bool) -> None:
    attempt = make_attempt(files, runner=ELSEWHERE, heartbeat={"step": 1})
    age(attempt.heartbeat, seconds)
    assert is_alive(attempt) is alive


@pytest.mark.parametrize(("seconds", "alive"), [(SILENCE_S - 10, True), (SILENCE_S + 10, False)])
def test_before_the_heartbeat_its_own_age_decides(files: TrialFiles, seconds: float, alive: bool) -> None:
    attempt = make_attempt(files, submission=submission(**ELSEWHERE))
    age(attempt.root, seconds)
    assert is_alive(attempt) is alive


def test_a_local_claim_dies_with_its_launcher(files: TrialFiles) -> None:
    assert not is_alive(make_attempt(files, submission=submission(**GONE)))
    assert is_alive(make_attempt(files, 2, submission={**GONE, "executor": "slurm"}))
    other = {**HERE, "pid": os.getppid(), "pid_start": None}
    assert not is_alive(make_attempt(files, 3, submission=submission(**other)))


@pytest.mark.processes
def test_a_claim_of_this_launcher_lives_while_its_runner_starts(files: TrialFiles) -> None:
    attempt = make_attempt(files, submission=submission(**HERE))
    assert not is_alive(attempt)
    environment = {**os.environ, ATTEMPT_VARIABLE: str(attempt.root)}
    runner = subprocess.Popen(["sleep", "60"], env=environment)
    wait_until(lambda: is_alive(attempt))
    runner.kill()
    runner.wait()
    assert not is_alive(attempt)


def test_a_claim_that_cannot_be_written_is_taken_back(
    files: TrialFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("launcher.launching.claim.write_json", full)
        with pytest.raises(OSError, match="No space"):
            claim(files, Submission("local", "hash"))
    assert files.attempt_numbers() == []


def test_a_deleted_attempt_is_not_alive(files: TrialFiles) -> None:
    assert not is_alive(files.attempt(1))


def test_file_system_time_where_nothing_can_be_written(tmp_path: Path) -> None:
    gone = TrialFiles(tmp_path / "no sweep" / "trial")
    assert file_system_time(gone.attempts) == pytest.approx(time.time(), abs=2)


def test_file_system_time_is_now(files: TrialFiles) -> None:
    files.attempts.mkdir()
    assert file_system_time(files.attempts) == pytest.approx(time.time(), abs=2)
    assert [entry.name for entry in files.root.parent.iterdir()] == ["trial"]
