"""The Ray head that stays, with its dashboard: started and ended by `segda dashboard`, found by launches."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launcher.executors.ray_cluster import wait_for_head
from launcher.executors.ray_head import (
    Head,
    ask_dashboard,
    free_port,
    new_folder,
    standing_head,
    start_keeper,
    write_standing,
)
from launcher.executors.slots import runtime_folder, visible_cores, visible_gpus
from launcher.processes.process import still_runs
from segda_core.errors import ConfigError

PORT = 8265
"""Ray's own choice; another one where it is taken."""

ANSWER_PATIENCE_S = 60.0
POLL_S = 0.2


def start_dashboard() -> Head:
    """The head that stays; started where none runs, with all cores and GPUs of this host."""
    with _one_at_a_time():
        head = standing_head()
        if head is None:
            folder = new_folder()
            cpus, gpus = len(visible_cores()), len(visible_gpus())
            keeper = start_keeper(folder, cpus, gpus, free_port(PORT), parent=None)
            head = wait_for_head(folder, keeper)
            try:
                write_standing(head, runtime_folder())
            except OSError:  # a full disk: nobody could find it, to use or to end it
                keeper.terminate()
                keeper.wait()
                raise
        _wait_for_answer(head)
    return head


def stop_dashboard() -> Head | None:
    """End it and everything of it, and wait for that; None where none runs."""
    with _one_at_a_time():
        head = standing_head()
        if head is not None:
            os.kill(head.keeper["pid"], signal.SIGTERM)
            while still_runs(head.keeper):
                time.sleep(POLL_S)
    return head


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with Path(runtime_folder(), "ray-head.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _wait_for_answer(head: Head) -> None:
    """Until the dashboard takes our token: its port may have gone to another program meanwhile."""
    deadline = time.monotonic() + ANSWER_PATIENCE_S
    while True:
        try:
            return ask_dashboard(head, ANSWER_PATIENCE_S)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ConfigError([f"{head.dashboard} does not answer: {error}"]) from error
            time.sleep(POLL_S)
