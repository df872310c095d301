"""One Ray head for all tests of a session: starting it takes longer than most of them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.executors.ray_cluster import wait_for_head
from launcher.executors.ray_head import Head, free_port, new_folder, start_keeper, write_standing


@pytest.fixture(scope="session")
def ray_head() -> Iterator[Head]:
    """A head with two CPUs."""
    folder = new_folder()
    keeper = start_keeper(folder, cpus=2, gpus=0, dashboard_port=free_port(), parent=os.getpid())
    yield wait_for_head(folder, keeper)
    keeper.terminate()
    keeper.wait()
    assert not folder.exists()


@pytest.fixture
def stand_in(ray_head: Head) -> Callable[[Path], None]:
    """Makes launches of a runtime folder find that head, as they find the one of `make dashboard`."""
    return lambda runtime: write_standing(ray_head, runtime)
