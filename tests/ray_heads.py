"""One Ray head for many launches: starting it takes longer than most of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
