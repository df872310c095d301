"""One Ray head for all tests: starting it takes longer than most of them. And code to edit."""

from collections.abc import Callable
from pathlib import Path

import pytest
from checkouts import copy_checkout
from ray_heads import SharedHead
from side_by_side import is_on_ray
from small_sweep import SmallSweep

from launcher.executors.ray_head import Head, write_standing

SHARED = SharedHead(cpus=2)


@pytest.fixture
def ray_head(request: pytest.FixtureRequest) -> Head:
    """A head with two CPUs."""
    assert is_on_ray(request.node.nodeid), "its name does not say that it asks for the head"
    return SHARED.running()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """No test after this one asks for the head: they come in a row."""
    if nextitem is None or not is_on_ray(nextitem.nodeid):
        SHARED.end()


@pytest.fixture
def stand_in(ray_head: Head) -> Callable[[Path], None]:
    """Makes launches of a runtime folder find that head, as they find the one of `make dashboard`."""
    return lambda runtime: write_standing(ray_head, runtime)


@pytest.fixture
def foreign_ray(ray_head: Head, monkeypatch: pytest.MonkeyPatch) -> str:
    """That head's address, its token in the environment: as a user reaches a cluster that is not ours."""
    for name, value in ray_head.environment.items():
        monkeypatch.setenv(name, value)
    return ray_head.address


@pytest.fixture
def own_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own with the code under test, which `segda` then runs from."""
    folder = tmp_path / "checkout"
    copy_checkout(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(SmallSweep, "launched_from", None)
    return folder
