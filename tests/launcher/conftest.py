"""One Ray head for all tests of a session: starting it takes longer than most of them. And code to edit."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkouts import copy_checkout
from ray_heads import ray_head_of

from launcher.executors.ray_head import Head, write_standing


@pytest.fixture(scope="session")
def ray_head() -> Iterator[Head]:
    """A head with two CPUs."""
    with ray_head_of(cpus=2) as head:
        yield head


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
    return folder
