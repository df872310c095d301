"""What every executor promises the launch loop, with real runners and workers."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from small_sweep import wait_until
from trials import small_config, write_domains

from launcher.executors import EXECUTORS, make_executor
from launcher.executors.base import Executor, Job, Surroundings
from launcher.expand.sweep_file import SweepFile
from launcher.launching.claim import Submission, claim
from launcher.processes.process import processes_of
from launcher.trial import Trial
from launcher.trials.prepare import prepare, read_config
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

pytestmark = [pytest.mark.processes, pytest.mark.parametrize("name", sorted(EXECUTORS))]

LONG = 100_000


@pytest.fixture
def folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """A path that a shell would have to quote."""
    if name == "slurm":
        request.getfixturevalue("slurm")
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", str(tmp_path / "locks"))
    if name == "ray":
        request.getfixturevalue("stand_in")(tmp_path / "locks")
    folder = tmp_path / 'it\'s a "path" $HOME; `true`'
    folder.mkdir()
    write_domains(folder)
    yield folder
    for attempt in folder.glob("runs/*/*/attempts/*"):
        wait_until(lambda attempt=attempt: not processes_of(attempt), timeout=10)


MakeExecutor = Callable[..., Executor]


@pytest.fixture
def an_executor(name: str, folder: Path) -> Iterator[MakeExecutor]:
    """Makes executors with some settings, and closes them."""
    with ExitStack() as made:

        def make(**settings: object) -> Executor:
            if name == "slurm":
                settings = {"gpus_per_node": 0, **settings}  # the cluster's are fake
            sweep = SweepFile.model_validate({"name": "sweep", "executor": {"name": name, **settings}})
            surroundings = Surroundings(folder / "runs" / "sweep")
            return made.enter_context(closing(make_executor(sweep.executor, surroundings)))

        yield make


def make(folder: Path, **changes: object) -> TrialFiles:
    return prepare(Trial("sweep", small_config(folder, "joint", **changes)), folder / "runs")


def start(executor: Executor, files: TrialFiles) -> tuple[Job, AttemptFiles]:
    room = executor.reserve(read_config(files))
    attempt = claim(files, Submission(executor.name, "hash"))
    assert room is not None and attempt is not None
    job = room.start(attempt)
    executor.flush()
    return job, attempt


def outcome(attempt: AttemptFiles) -> tuple[str, str | None]:
    content = read_json(attempt.outcome)
    assert content is not None, attempt.log.read_text()
    return content["status"], content["cause"]


def test_success_and_failure_side_by_side(name: str, folder: Path, an_executor: MakeExecutor) -> None:
    executor = an_executor(max_parallel=2)
    good, bad = make(folder, seed=0), make(folder, seed=1, source=[{"name": "source", "holdout": "none.txt"}])
    jobs = [start(executor, files) for files in (good, bad)]
    if not executor.outlives_launcher:  # a cluster keeps the others in its own queue
        assert executor.reserve(read_config(good)) is None, "two trials at once were asked for"
    wait_until(lambda: all(job.has_ended() for job, _ in jobs))
    assert [outcome(attempt) for _, attempt in jobs] == [("done", None), ("failed", "data")]
    assert read_json(good.metrics)["attempt"] == 1 and not bad.metrics.exists()
    assert "runner: " in jobs[0][1].log.read_text()
    assert claim(good, Submission(name, "hash")) is None
    room = executor.reserve(read_config(good))
    assert room is not None
    room.release()


def test_how_many_fit(name: str, folder: Path, an_executor: MakeExecutor) -> None:
    config = read_config(make(folder))
    assert an_executor(max_parallel=3).at_once(config) >= 1
    assert an_executor().at_once(config) >= 1


def test_terminate_saves_cancel_cancels(name: str, folder: Path, an_executor: MakeExecutor) -> None:
    executor = an_executor(max_parallel=2)
    terminated, cancelled = (start(executor, make(folder, seed=seed, steps=LONG)) for seed in (0, 1))
    for _, attempt in (terminated, cancelled):
        wait_until(lambda attempt=attempt: list(attempt.checkpoints.glob("*.pt")))
    terminated[0].terminate()
    TrialFiles(cancelled[1].root.parent.parent).cancel.touch()
    wait_until(lambda: all(job.has_ended() for job, _ in (terminated, cancelled)))
    assert outcome(terminated[1]) == ("saved", None)
    assert outcome(cancelled[1]) == ("cancelled", None)


def test_kill_ends_at_once_and_a_still_step_in_time(
    name: str, folder: Path, an_executor: MakeExecutor
) -> None:
    impatient = an_executor(max_parallel=2, stall_min=0.0001)
    still, still_attempt = start(impatient, make(folder, seed=0, steps=LONG))
    killed, killed_attempt = start(an_executor(max_parallel=2), make(folder, seed=1, steps=LONG))
    wait_until(killed_attempt.heartbeat.exists)
    killed.kill()
    before = time.monotonic()
    wait_until(killed.has_ended)
    assert time.monotonic() - before < 20, "it was given time to save"
    left = read_json(killed_attempt.outcome)  # Slurm may miss a runner whose task it killed first: TERM then
    assert left is None or (name == "slurm" and left["status"] == "saved")
    wait_until(still.has_ended)
    assert outcome(still_attempt) == ("failed", "timeout")
