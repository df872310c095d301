"""The Ray executor: attempts as Ray Tune trials, on a running cluster or a head started for the launch.

The launch lines attempts up here; a driver in a process of its own (`ray_driver`) hands them to Tune. Tune
places and stops them and knows nothing else: retries, order and results are the launch's and the files'.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from launcher.executors.base import EarlyStopping, Surroundings
from launcher.executors.orphans import Orphans
from launcher.executors.ray_cluster import Cluster
from launcher.executors.ray_link import RayLink
from launcher.executors.ray_task import DriverSettings, Task, variables_of
from launcher.expand.executor_config import RayConfig
from launcher.processes.process import end_processes, on_this_machine
from launcher.trials.life import is_alive
from launcher.trials.outcome import Outcome, Status, write_outcome
from segda_core.checkout import CHECKOUT
from segda_core.config import TaskConfig
from segda_core.errors import ConfigError
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles

RENEW_S = 10.0
"""Seconds between signs of life of attempts that wait for Ray to start them."""


class RayJob:
    """An attempt that was handed to Ray."""

    def __init__(self, executor: "RayExecutor", attempt: AttemptFiles, task: Task) -> None:
        self._executor = executor
        self._attempt = attempt
        self._orphans = Orphans(attempt)
        self._renewed = time.monotonic()
        self._over = False
        self.task = task
        self.left_by_ray = False
        """Whether Ray has ended its trial; the runner may still be saving."""
        self.error: str | None = None
        """Why, where that was a failure of Ray."""

    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        self._executor.read_events()
        if not self.left_by_ray:
            self._renew()
        elif not self._over and not self._is_left():
            self._write_error()
            self._over = True
        return self._over

    def terminate(self) -> None:
        """Ask it to save and leave; returns at once."""
        self._executor.stop(self)

    def kill(self) -> None:
        """End it now, unsaved; on another machine it is left to save.

        Tune stops trials that report: one that still waits for room in Ray ends with its driver.
        """
        self._executor.stop(self)
        end_processes(self._attempt.root, grace=0)
        if not self._attempt.runner(0).exists():
            self.left_by_ray = True

    def leave(self, error: str | None) -> None:
        """Ray has ended its trial."""
        self.left_by_ray, self.error = True, error

    def _write_error(self) -> None:
        """What Ray says of an attempt that cannot speak for itself: its runner never started, or was lost."""
        if self.error is None or self._attempt.outcome.exists():
            return
        cause = "killed" if self._attempt.runner(0).exists() else "node"
        write_outcome(self._attempt, Outcome(Status.FAILED, f"Ray: {self.error}", cause))

    def _renew(self) -> None:
        """Show other launches that the claim is meant, until there is a runner to show it."""
        if time.monotonic() - self._renewed > RENEW_S and not self._attempt.runner(0).exists():
            self._renewed = time.monotonic()
            os.utime(self._attempt.root)

    def _is_left(self) -> bool:
        """Whether something of it lives: on another machine by its signs of life, here by its processes."""
        runner = read_json(self._attempt.runner(0))
        if runner is not None and not on_this_machine(runner):
            return is_alive(self._attempt)
        return self._orphans.are_left()


class RayExecutor:
    """Runs attempts on a Ray cluster; they end with the launcher that started them."""

    name = "ray"
    outlives_launcher = False

    def __init__(self, config: RayConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._surroundings = surroundings
        self._cluster = Cluster(config.address)
        self._folder: Path | None = None
        self._link: RayLink | None = None
        self._was_connected = False
        self._jobs: dict[str, RayJob] = {}
        cpus, gpus = self._cluster.size()
        self._nodes = [{"CPU": float(cpus), "GPU": float(gpus)}]
        if self._cluster.is_foreign:
            try:
                self._connect()
            except ConfigError:
                self.close()
                raise

    def problem(self, config: TaskConfig) -> str | None:
        """Why a trial can never run here: more ranks than a node has GPUs."""
        most = max(node["GPU"] for node in self._nodes)
        if most and config.ranks > most:
            return f"ranks {config.ranks} need as many GPUs on one node; the cluster's largest has {most:g}"
        return None

    def at_once(self, config: TaskConfig) -> int:
        """As many as the cluster carries, at most those the user asked for."""
        cpus, gpus = self._need(config)
        carried = [self._total("CPU") // cpus, *([self._total("GPU") // gpus] if gpus else [])]
        fit = max(1, int(min(carried)))
        return min(fit, self._config.max_parallel or fit)

    def reserve(self, config: TaskConfig, after: Sequence[str] = ()) -> "RayRoom | None":
        """Room for one more attempt; None while this launch's own fill the cluster."""
        running = [job for job in self._jobs.values() if not job.has_ended()]
        self._jobs = {job.task.attempt: job for job in running}
        self._connect()  # after that look, which may find the driver dead
        cpus, gpus = self._need(config)
        full = (
            len(running) >= (self._config.max_parallel or len(running) + 1)
            or sum(job.task.cpus for job in running) + cpus > self._total("CPU")
            or sum(job.task.gpus for job in running) + gpus > self._total("GPU")
        )
        return None if full else RayRoom(self, config)

    def flush(self) -> None:
        """Nothing waits here: Tune gets every attempt as it is started."""

    def start(self, config: TaskConfig, attempt: AttemptFiles) -> RayJob:
        """Hand an attempt to Tune."""
        assert self._link is not None
        cpus, gpus = self._need(config)
        code = self._surroundings.code
        task = Task(
            attempt=str(attempt.root.resolve()),
            steps=config.planned_steps,
            cpus=cpus,
            gpus=gpus,
            stall_min=self._config.stall_min,
            code=None if code is None else str(code.resolve()),
            directory=str(Path.cwd()),
            environment=variables_of(config),
        )
        job = self._jobs[task.attempt] = RayJob(self, attempt, task)
        self._link.run(task)
        return job

    def stop(self, job: RayJob) -> None:
        """Have Tune stop a trial."""
        if self._link is not None:
            self._link.stop(Path(job.task.attempt))

    def read_events(self) -> None:
        """Take in what the driver said, and whether it died: then Ray has left every job."""
        if self._link is None:
            return
        if self._cluster.head_is_gone:
            self._link.kill()  # it would wait a minute for the head to come back
        for attempt, error in self._link.ended():
            self._jobs[str(attempt)].leave(error)
        if self._link.has_died():
            who = "the head" if self._cluster.head_is_gone else "the driver of this launch"
            words = self._link.last_words() or "none"
            self._surroundings.say(f"Ray: {who} died; last words of the driver:\n{words}")
            for job in self._jobs.values():
                if not job.left_by_ray:
                    job.leave(f"{who} died")
            self._link.close()
            self._link = None

    def preview(self, configs: Sequence[TaskConfig]) -> list[str]:
        """The trials' own commands are all there is."""
        return []

    def close(self) -> None:
        """End the driver, and the head where it is our own."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self._cluster.close()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def _connect(self) -> None:
        """Start a driver where none runs; blocks until it is connected.

        A launch that Ray has worked for does not end because a new head fails to come up the first time.
        """
        self.read_events()
        if self._link is not None:
            return
        if self._folder is None:
            below = self._surroundings.sweep / ".ray"
            below.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=below))
        try:
            self._link = self._driver()
        except ConfigError as error:
            if not self._was_connected:
                raise
            self._surroundings.say(f"{error}\nRay: tried once more, since it ran before")
            self._link = self._driver()
        self._was_connected = True
        self._say_where(self._link.dashboard)
        self._nodes = self._link.nodes

    def _driver(self) -> RayLink:
        """A driver of its own, connected; `ConfigError` where there is no way to."""
        assert self._folder is not None
        address, environment = self._cluster.connect()
        code = self._surroundings.code or CHECKOUT
        early = self._surroundings.early_stopping
        settings = DriverSettings(
            sweep=self._surroundings.sweep.name,
            address=address,
            storage=str(self._folder.resolve()),
            pythonpath=str(code.resolve()),
            early_stopping=None if early is None else _as_json(early),
        )
        return RayLink(settings, environment, self._folder / "driver.log")

    def _say_where(self, dashboard: str) -> None:
        """Name the dashboard and, of our own heads, the token it asks for."""
        token = self._cluster.token
        login = "" if token is None else f"; log in with the token in {token}"
        if dashboard:
            self._surroundings.say(f"Ray dashboard: {dashboard}{login}")

    def _need(self, config: TaskConfig) -> tuple[int, int]:
        """CPUs and GPUs of a trial; where a node has fewer CPUs than its threads, they share those."""
        most = max(node["CPU"] for node in self._nodes)
        cpus = max(1, min(config.ranks * config.threads, int(most)))
        return cpus, config.ranks if self._total("GPU") else 0

    def _total(self, resource: str) -> float:
        return sum(node[resource] for node in self._nodes)


class RayRoom:
    """Room for one attempt on the cluster."""

    def __init__(self, executor: RayExecutor, config: TaskConfig) -> None:
        self._executor = executor
        self._config = config

    def start(self, attempt: AttemptFiles) -> RayJob:
        """Hand the attempt to Ray."""
        return self._executor.start(self._config, attempt)

    def release(self) -> None:
        """Nothing is held: only attempts that were started count."""


def _as_json(early: EarlyStopping) -> dict[str, Any]:
    return {**asdict(early), "earlier": [str(path.resolve()) for path in early.earlier]}
