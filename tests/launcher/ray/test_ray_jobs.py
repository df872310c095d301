"""An attempt handed to Ray that Ray never starts; without a cluster."""

from pathlib import Path

import pytest

from launcher.executors.base import Surroundings
from launcher.executors.ray import RayExecutor, RayJob
from launcher.executors.ray_task import Task
from launcher.expand.executor_config import RayConfig
from segda_core.files import write_json
from segda_core.trials.layout import AttemptFiles


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RayJob:
    """Other launches fill the cluster."""
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", str(tmp_path / "locks"))
    attempt = AttemptFiles(tmp_path / "trial" / "attempts" / "1")
    attempt.root.mkdir(parents=True)
    executor = RayExecutor(RayConfig(name="ray"), Surroundings(tmp_path / "runs" / "sweep"))
    return RayJob(executor, attempt, Task(str(attempt.root), 5, 1, 0, 30.0, None, str(tmp_path), {}))


def test_a_trial_that_waits_for_room_in_ray_does_not_keep_a_launch_that_is_killed(job: RayJob) -> None:
    job.terminate()
    assert not job.has_ended(), "it may start any moment, and saves then"
    job.kill()
    assert job.has_ended()


def test_one_that_runs_is_over_when_ray_says_so(job: RayJob) -> None:
    write_json(AttemptFiles(Path(job.task.attempt)).runner(0), {"host": "another"})
    job.kill()
    assert not job.has_ended()
