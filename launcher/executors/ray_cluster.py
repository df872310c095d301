"""Which Ray cluster a launch uses: the one its configuration names, that of `make dashboard`, or its own."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from launcher.executors.ray_head import (
    START_PATIENCE_S,
    Head,
    free_port,
    new_folder,
    read_head,
    standing_head,
    start_keeper,
)
from launcher.executors.slots import visible_cores, visible_gpus
from launcher.processes.process import still_runs
from segda_core.errors import ConfigError

POLL_S = 0.1
LOG_LINES = 20
"""Lines of a log shown where Ray does not start."""


class Cluster:
    """A cluster to connect to, started on first use where it is our own."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._standing = None if address else standing_head()
        self._head: Head | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether it is known by its address alone, so that only a driver can say what it has."""
        return self._address is not None

    def size(self) -> tuple[int, int]:
        """CPUs and GPUs of a head on this host."""
        if self._standing is not None:
            return self._standing.cpus, self._standing.gpus
        return len(visible_cores()), len(visible_gpus())

    @property
    def token(self) -> Path | None:
        """File with the token of a head of ours, once it is connected to."""
        return None if self._head is None else self._head.token

    @property
    def head_is_gone(self) -> bool:
        """Whether a head of ours has ended since it was connected to."""
        return self._head is not None and not still_runs(self._head.keeper)

    def connect(self) -> tuple[str, Mapping[str, str]]:
        """Its address, and the environment that lets a driver in; starts a head of our own where needed."""
        if self._address is not None:
            return self._address, {}
        self._standing = standing_head()  # the user may have ended it since
        self._head = self._standing or self._start()
        return self._head.address, self._head.environment

    def close(self) -> None:
        """End a head of our own, and wait until nothing of it is left."""
        if self._keeper is not None:
            self._keeper.terminate()
            self._keeper.wait()
            self._keeper = None

    def _start(self) -> Head:
        self.close()
        folder = new_folder()
        cpus, gpus = self.size()
        self._keeper = start_keeper(folder, cpus, gpus, free_port(), os.getpid())
        return wait_for_head(folder, self._keeper)


def wait_for_head(folder: Path, keeper: "subprocess.Popen[bytes]") -> Head:
    """The head as soon as it is ready; `ConfigError` with what it printed where it does not start."""
    log = folder / "keeper.log"
    with log.open("rb") as stream:  # the keeper removes the folder when it ends
        deadline = time.monotonic() + START_PATIENCE_S
        while (head := read_head(folder)) is None:
            if keeper.poll() is not None or time.monotonic() > deadline:
                keeper.terminate()
                keeper.wait()
                shutil.rmtree(folder, ignore_errors=True)
                raise ConfigError(
                    [f"executor ray: no Ray head could be started:\n{last_lines(stream.read())}"]
                )
            time.sleep(POLL_S)
    return head


def last_lines(log: bytes) -> str:
    """The end of a log."""
    return "\n".join(log.decode(errors="replace").splitlines()[-LOG_LINES:])
