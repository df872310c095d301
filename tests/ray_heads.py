"""One Ray head for many launches: starting it takes longer than most of them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from launcher.executors.ray_cluster import wait_for_head
from launcher.executors.ray_head import Head, free_port, new_folder, start_keeper


@contextmanager
def ray_head_of(cpus: int) -> Iterator[Head]:
    """A head with that many CPUs, gone without a trace afterwards."""
    folder = new_folder()
    keeper = start_keeper(folder, cpus=cpus, gpus=0, dashboard_port=free_port(), parent=os.getpid())
    try:
        yield wait_for_head(folder, keeper)
    finally:
        keeper.terminate()
        keeper.wait()
    assert not folder.exists()


class SharedHead:
    """A head that the first test starts which asks for it. It takes 5 % of a core while nobody does."""

    def __init__(self, cpus: int) -> None:
        self._cpus = cpus
        self._ends = ExitStack()
        self._head: Head | None = None

    def running(self) -> Head:
        if self._head is None:
            self._head = self._ends.enter_context(ray_head_of(self._cpus))
        return self._head

    def end(self) -> None:
        self._head = None
        self._ends.close()
