"""Fixtures for every package's tests."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_slurm.cluster import Cluster
from side_by_side import ByFile, is_on_ray
from slurm_cluster import settle, slurm_cluster
from small_sweep import SmallSweep

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as of `make test &` in a script; commands that the tests interrupt would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that ask for the Ray head go first, since one process does them all, and quick files last: what
    is left at the end is then shared evenly.
    """
    long = {item.path for item in items if item.get_closest_marker("processes")}
    items.sort(key=lambda item: (not is_on_ray(item.nodeid), item.path not in long))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile | None:
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images of a test run go where the run's other files go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGDA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def copied_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The copy of the code that launches make is made once for the small sweeps of a test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SmallSweep, "launched_from", shared_folder(tmp_path_factory) / "code")
        yield


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all processes of a test run."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="module")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """SEGDA_DATA for the modules that draw all of `streets`: the first one does, the next find it there.

    One module at a time: another process of the test run waits, where it would draw the same once more.
    """
    folder = shared_folder(tmp_path_factory) / "drawn data"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@pytest.fixture
def seed() -> int:
    """Of a test's random moments: another each time, printed where the test fails; SEED repeats one.

    It is no part of a test's name: processes that share the tests collect them one after another.
    """
    chosen = int(os.environ.get("SEED", time.time()))
    print(f"SEED={chosen}")
    return chosen


@pytest.fixture(scope="session")
def shared_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster of three nodes with two fake GPUs each, without accounting, for the whole test run."""
    with slurm_cluster(tmp_path_factory.mktemp("slurm") / "it's a cluster", gpus=2) as cluster:
        yield cluster


@pytest.fixture
def slurm(shared_slurm: Cluster) -> Iterator[Cluster]:
    """That cluster, without a job and with every node idle before and after the test."""
    yield shared_slurm
    settle(shared_slurm)
