import time

import pytest

from segda_core.files import read_json
from segda_core.process import StopRequest, Verdict
from segda_core.trials import heartbeat as heartbeat_module
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.layout import TrialFiles


@pytest.fixture
def trial(tmp_path):
    files = TrialFiles(tmp_path)
    files.attempt(1).root.mkdir(parents=True)
    return files


def test_the_first_heartbeat_is_there_when_start_returns(trial):
    heartbeat = Heartbeat(trial, trial.attempt(1), StopRequest())
    before = time.time()
    heartbeat.start()
    first = read_json(trial.attempt(1).heartbeat)
    heartbeat.end()

    assert first["phase"] == "start"
    assert (first["step"], first["steps"], first["images_per_second"]) == (0, None, None)
    assert before <= first["time"] <= time.time()


def test_the_thread_writes_what_training_reports(trial, monkeypatch):
    monkeypatch.setattr(heartbeat_module, "INTERVAL", 0.01)
    heartbeat = Heartbeat(trial, trial.attempt(1), StopRequest())
    heartbeat.start()
    heartbeat.step, heartbeat.steps, heartbeat.phase = 12, 200, "train"
    deadline = time.monotonic() + 30
    while (last := read_json(trial.attempt(1).heartbeat))["step"] != 12 and time.monotonic() < deadline:
        time.sleep(0.01)
    heartbeat.end()

    assert (last["step"], last["steps"], last["phase"]) == (12, 200, "train")


def test_a_higher_attempt_silences_it_and_asks_to_leave(trial):
    stop = StopRequest()
    heartbeat = Heartbeat(trial, trial.attempt(1), stop)
    heartbeat.start()
    before = trial.attempt(1).heartbeat.read_bytes()
    trial.attempt(2).root.mkdir()
    heartbeat.step = 5
    heartbeat.end()

    assert stop.verdict == Verdict.SUPERSEDED
    assert trial.attempt(1).heartbeat.read_bytes() == before


def test_a_heartbeat_that_cannot_be_written_is_logged(trial, caplog):
    heartbeat = Heartbeat(trial, trial.attempt(1), StopRequest())
    heartbeat.start()
    trial.attempt(1).heartbeat.unlink()
    trial.attempt(1).heartbeat.mkdir()
    heartbeat.end()
    assert "heartbeat could not be written" in caplog.text


def test_a_rank_without_a_heartbeat_may_end_it(trial):
    Heartbeat(trial, trial.attempt(1), StopRequest()).end()
    assert not trial.attempt(1).heartbeat.exists()


def test_the_stronger_request_wins():
    stop = StopRequest()
    stop.ask(Verdict.SUPERSEDED)
    stop.ask(Verdict.SAVE)
    assert stop.verdict == Verdict.SUPERSEDED
