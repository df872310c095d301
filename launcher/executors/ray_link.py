"""The launcher's end of the line to its Ray driver."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from launcher.executors.ray_cluster import last_lines
from launcher.executors.ray_task import DriverSettings, Task
from launcher.processes.process import PARENT_VARIABLE
from segda_core.errors import ConfigError

START_PATIENCE_S = 180.0
STOP_PATIENCE_S = 20.0
POLL_S = 0.1


class RayLink:
    """A driver that runs, from its start to its end."""

    def __init__(self, settings: DriverSettings, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._address = settings.address
        with log.open("ab") as stream:
            self._driver = subprocess.Popen(
                [sys.executable, "-m", "launcher.executors.ray_driver", settings.sweep],
                env={**os.environ, **environment, PARENT_VARIABLE: str(os.getpid())},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, start_new_session=True,
            )  # fmt: skip
        assert self._driver.stdout is not None
        os.set_blocking(self._driver.stdout.fileno(), False)
        self._unread = b""
        self._send(asdict(settings))
        ready = self._wait_until_ready()
        self.nodes: list[dict[str, float]] = ready["nodes"]
        """CPU and GPU of every node."""
        self.dashboard: str = ready["dashboard"]
        """URL; empty where there is none."""

    def run(self, task: Task) -> None:
        """Have Tune run an attempt."""
        self._send({"run": asdict(task)})

    def stop(self, attempt: Path) -> None:
        """Have Tune stop an attempt, which then saves."""
        self._send({"stop": str(attempt)})

    def ended(self) -> list[tuple[Path, str | None]]:
        """Attempts that ended since the last call, and for those that Ray failed, why."""
        return [(Path(event["ended"]), event["error"]) for event in self._events()]

    def last_words(self) -> str:
        """The end of what the driver printed."""
        return last_lines(self._log.read_bytes())

    def has_died(self) -> bool:
        """Whether the driver is gone, and with it every trial it ran."""
        return self._driver.poll() is not None

    def kill(self) -> None:
        """End the driver at once."""
        self._driver.kill()
        self._driver.wait()

    def close(self) -> None:
        """End the driver."""
        assert self._driver.stdin is not None and self._driver.stdout is not None
        with suppress(BrokenPipeError):  # it died with words unread
            self._driver.stdin.close()
        try:
            self._driver.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._driver.kill()
            self._driver.wait()
        self._driver.stdout.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._driver.stdin is not None
        try:
            self._driver.stdin.write(json.dumps(message).encode() + b"\n")
            self._driver.stdin.flush()
        except BrokenPipeError:
            return  # it died: `has_died` says so

    def _events(self) -> list[dict[str, Any]]:
        assert self._driver.stdout is not None
        *lines, self._unread = (self._unread + (self._driver.stdout.read() or b"")).split(b"\n")
        return [json.loads(line) for line in lines]

    def _wait_until_ready(self) -> dict[str, Any]:
        deadline = time.monotonic() + START_PATIENCE_S
        while not (events := self._events()):
            if self.has_died() or time.monotonic() > deadline:
                self.kill()
                self.close()
                raise ConfigError([self._no_connection()])
            time.sleep(POLL_S)
        ready: dict[str, Any] = events[0]["ready"]
        return ready

    def _no_connection(self) -> str:
        fix = "start it, or choose another with executor.address or --executor"
        words = self.last_words() or "nothing"
        return f"executor ray: no connection to the cluster at {self._address}; {fix}. Ray says:\n{words}"
