"""A Ray head of our own: on loopback, with token authentication, and gone without a trace with its keeper.

    python -m launcher.executors.ray_head FOLDER --cpus N --gpus N --dashboard-port P [--parent PID]

`ray start` alone leaves agents behind when it is killed. So a keeper, this module as a process, starts it, is
told by the kernel when the launcher dies, and then ends every process of the head and removes its folder.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launcher.executors.slots import runtime_folder
from launcher.processes.process import (
    ATTEMPT_VARIABLE,
    adopt_orphans,
    death_signal,
    descendants,
    environment_of,
    identity,
    kill_all,
    on_this_machine,
    still_runs,
)
from segda_core.files import read_json, write_json

FOLDERS = Path("/tmp")
"""Where heads have their folders: Ray's socket names leave no room for a longer path than this."""

STANDING = "ray-head.json"
"""File of the runtime folder that names the folder of the head of `make dashboard`."""

START_PATIENCE_S = 180.0
STOP_PATIENCE_S = 10.0
POLL_S = 0.2

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""What makes Ray bind to 127.0.0.1; otherwise its servers listen on every interface of a Linux host."""

OBJECT_STORE_BYTES = 100_000_000
"""Nearly nothing goes through Ray's object store, and /dev/shm may be small."""


@dataclass(frozen=True)
class Head:
    """A head that runs."""

    address: str
    """host:port that drivers connect to."""
    dashboard: str
    """URL."""
    folder: str
    cpus: int
    gpus: int
    keeper: Mapping[str, Any]
    """Identity of the process that keeps it."""

    @property
    def token(self) -> Path:
        """File with the token of its dashboard and drivers."""
        return Path(self.folder, "token")

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which a driver finds its way in."""
        return {**LOOPBACK, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}


def new_folder() -> Path:
    """An empty folder of a new head, readable by its user alone."""
    return Path(tempfile.mkdtemp(prefix=f"segda-ray-{os.getuid()}-", dir=FOLDERS))


def start_keeper(
    folder: Path, cpus: int, gpus: int, dashboard_port: int, parent: int | None
) -> "subprocess.Popen[bytes]":
    """Start a head; it ends with process `parent`, or stays where there is none."""
    words = [str(folder), "--cpus", str(cpus), "--gpus", str(gpus), "--dashboard-port", str(dashboard_port)]
    words += [] if parent is None else ["--parent", str(parent)]
    with (folder / "keeper.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "launcher.executors.ray_head", *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def read_head(folder: Path) -> Head | None:
    """The head of a folder; None before it is ready."""
    raw = read_json(folder / "head.json")
    return None if raw is None else Head(**raw)


def standing_head() -> Head | None:
    """The head of `make dashboard`, where it runs on this machine."""
    folder = read_json(runtime_folder() / STANDING)
    head = None if folder is None else read_head(Path(folder))
    if head is None or not on_this_machine(head.keeper) or not still_runs(head.keeper):
        return None
    return head


def write_standing(head: Head, runtime: Path) -> None:
    """Make this the head that launches of a runtime folder find."""
    write_json(runtime / STANDING, head.folder)


def ask_dashboard(head: Head, patience: float) -> None:
    """Have it take our token; `OSError` where it does not. It is on loopback, so no proxy is asked."""
    token = head.token.read_text().strip()
    request = urllib.request.Request(
        f"{head.dashboard}/api/version", headers={"Authorization": f"Bearer {token}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=patience):
        pass


def free_port(wanted: int = 0) -> int:
    """A port of loopback that nothing listens on: the one wanted where it is free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])


class Keeper:
    """Starts a head, watches it, and leaves nothing of it."""

    def __init__(self, folder: Path, cpus: int, gpus: int, dashboard_port: int) -> None:
        self._folder = folder
        self._cpus = cpus
        self._gpus = gpus
        self._dashboard_port = dashboard_port
        self._asked_to_stop = False

    def run(self, parent: int | None) -> None:
        """Keep the head until somebody ends it, or this process, or the parent."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._stop)
        if parent is not None:
            death_signal(parent)()
        adopt_orphans()
        (self._folder / "token").touch(mode=0o600)
        (self._folder / "token").write_text(secrets.token_hex(32))
        ray = self._start()
        try:
            self._watch(ray)
        finally:
            ray.send_signal(signal.SIGTERM)
            self._end_all()
            shutil.rmtree(self._folder)

    def _stop(self, signum: int, frame: object) -> None:
        self._asked_to_stop = True

    def _start(self) -> "subprocess.Popen[bytes]":
        head = Head("", "", str(self._folder), self._cpus, self._gpus, {})
        environment = {
            **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
            **head.environment,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # trials are no background work
            "RAY_prestart_worker_first_driver": "0",  # one for each CPU, and trials use none of them
            "RAY_kill_child_processes_on_worker_exit": "false",  # the kernel tells runners, which then save
        }
        options = {
            "port": 0,
            "node-ip-address": "127.0.0.1",
            "dashboard-host": "127.0.0.1",
            "dashboard-port": self._dashboard_port,
            "dashboard-agent-listen-port": free_port(),
            "ray-client-server-port": free_port(),
            "temp-dir": self._folder / "r",
            "num-cpus": self._cpus,
            "num-gpus": self._gpus,
            "object-store-memory": OBJECT_STORE_BYTES,
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        return subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *words],
            env=environment, stdin=subprocess.DEVNULL, preexec_fn=death_signal(os.getpid()),
        )  # fmt: skip

    def _watch(self, ray: "subprocess.Popen[bytes]") -> None:
        address_file = self._folder / "r" / "ray_current_cluster"
        ready = False
        while ray.poll() is None and not self._asked_to_stop:
            if not ready and address_file.exists() and (address := address_file.read_text()):
                ready = True
                self._announce(address)
            time.sleep(POLL_S)

    def _announce(self, address: str) -> None:
        url = f"http://127.0.0.1:{self._dashboard_port}"
        head = Head(address, url, str(self._folder), self._cpus, self._gpus, identity())
        write_json(self._folder / "head.json", asdict(head))

    def _end_all(self) -> None:
        """Wait for the head's processes, and kill those left; runners are told by the kernel, and save."""
        deadline = time.monotonic() + STOP_PATIENCE_S
        while self._processes() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        kill_all(self._processes)

    def _processes(self) -> list[int]:
        """All that descend from this process, but no runners and their workers."""
        attempt = os.fsencode(f"{ATTEMPT_VARIABLE}=")
        pids = descendants(os.getpid())
        return [pid for pid in pids if not any(entry.startswith(attempt) for entry in environment_of(pid))]


def main() -> None:
    """Keep the head described on the command line."""
    parser = argparse.ArgumentParser(prog="python -m launcher.executors.ray_head", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpus", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    parser.add_argument("--dashboard-port", type=int, required=True)
    parser.add_argument("--parent", type=int)
    words = parser.parse_args()
    Keeper(words.folder, words.cpus, words.gpus, words.dashboard_port).run(words.parent)


if __name__ == "__main__":
    main()
