"""What Ray cannot do is said: of an attempt that it cannot start, and when its driver dies."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.victim import process_of
from small_sweep import kill, wait_until
from trials import small_config

from launcher.executors import ray_link
from launcher.executors.base import Surroundings
from launcher.executors.ray import RayExecutor, RayJob
from launcher.expand.executor_config import RayConfig
from launcher.launching.claim import Submission, claim
from launcher.status import read_status
from launcher.trial import Trial
from launcher.trials.prepare import prepare
from segda_core.errors import ConfigError
from segda_core.trials.layout import TrialFiles

pytestmark = pytest.mark.processes

Start = Callable[[str], tuple[TrialFiles, RayJob]]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: Callable[[Path], None], said: list[str]
) -> Iterator[Start]:
    """Hands Ray one trial, beside whose attempt a folder is in the way of the file of that name."""
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", str(tmp_path / "locks"))
    stand_in(tmp_path / "locks")
    executor = RayExecutor(RayConfig(name="ray"), Surroundings(tmp_path / "runs" / "sweep", say=said.append))

    def start(in_the_way: str) -> tuple[TrialFiles, RayJob]:
        config = small_config(tmp_path)
        files = prepare(Trial("sweep", config), tmp_path / "runs")
        room = executor.reserve(config)
        attempt = claim(files, Submission("ray", "hash"))
        assert room is not None and attempt is not None
        (attempt.root / in_the_way).mkdir()
        return files, room.start(attempt)

    yield start
    executor.close()


def test_an_attempt_that_ray_cannot_start_says_why_at_once(start: Start) -> None:
    files, job = start("log.txt")
    began = time.monotonic()
    wait_until(job.has_ended)
    status = read_status(files)
    assert (status.state, status.cause) == ("failed", "node")
    assert status.message.startswith("Ray: IsADirectoryError: [Errno 21] Is a directory: ")
    assert time.monotonic() - began < 50, "it was waited for as for one that runs elsewhere"


def test_a_driver_that_dies_unasked_is_said_with_its_last_words(start: Start, said: list[str]) -> None:
    files, job = start("nothing")
    driver = process_of(os.getpid(), "ray_driver")
    (log,) = files.root.parent.glob(".ray/*/driver.log")
    with log.open("a") as stream:
        stream.write("out of memory\n")
    assert driver is not None and kill(driver)
    wait_until(job.has_ended)
    status = read_status(files)
    assert (status.state, status.cause) == ("failed", "node")
    assert status.message == "Ray: the driver of this launch died"
    assert said[-1].startswith(f"{status.message}; last words of the driver:\n")
    assert said[-1].endswith("\nout of memory")


def test_a_driver_that_died_unseen_is_followed_by_another(start: Start, said: list[str]) -> None:
    """The next trial is asked for before anybody looked, with words to the dead one on the way."""
    files, job = start("log.txt")
    driver = process_of(os.getpid(), "ray_driver")
    assert driver is not None and kill(driver)
    os.waitid(os.P_PID, driver, os.WEXITED | os.WNOWAIT)  # all of its threads are gone
    job.terminate()
    shutil.rmtree(files.root)
    _, second = start("log.txt")
    assert any(each.startswith("Ray: the driver of this launch died") for each in said)
    wait_until(job.has_ended)
    wait_until(second.has_ended)


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_link, "START_PATIENCE_S", 0.0)
    nobody = RayConfig(name="ray", address="127.0.0.1:1")
    said = "no connection to the cluster at 127.0.0.1:1; start it, or choose another with executor.address"
    with pytest.raises(ConfigError, match=said):
        RayExecutor(nobody, Surroundings(tmp_path / "runs" / "sweep"))
    assert list(tmp_path.glob("runs/sweep/.ray/*")) == []
