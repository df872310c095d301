"""The local executor: attempts as children of the launcher, one per GPU or as many as the cores carry."""

import signal
import subprocess
from collections.abc import Sequence

from launcher.executors.base import Resources, Surroundings, start_runner
from launcher.executors.orphans import Orphans
from launcher.executors.slots import Places, lock_places, visible_cores, visible_gpus
from launcher.expand.executor_config import LocalConfig
from launcher.processes.process import end_processes
from segda_core.config import TaskConfig
from segda_core.trials.layout import AttemptFiles


class LocalJob:
    """A runner on this host, and the places it holds until nothing of its attempt is left."""

    def __init__(self, attempt: AttemptFiles, runner: "subprocess.Popen[bytes]", places: Places) -> None:
        self._attempt = attempt
        self._runner = runner
        self._places = places
        self._orphans = Orphans(attempt)
        self._over = False

    def has_ended(self) -> bool:
        """Whether nothing of it runs any more; its places are free then."""
        if not self._over and self._runner.poll() is not None and not self._orphans.are_left():
            self._over = True
            self._places.release()
        return self._over

    def terminate(self) -> None:
        """Ask it to save and leave; returns at once."""
        if self._runner.poll() is None:
            self._runner.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now, unsaved."""
        end_processes(self._attempt.root, grace=0)


class LocalExecutor:
    """Runs attempts on this host; they end with the launcher that started them."""

    name = "local"
    outlives_launcher = False

    def __init__(self, config: LocalConfig, surroundings: Surroundings) -> None:
        self._max_parallel = config.max_parallel
        self._stall_min = config.stall_min
        self._code = surroundings.code
        self._gpus = visible_gpus()
        self._cores = visible_cores()
        self._jobs: list[LocalJob] = []

    def problem(self, config: TaskConfig) -> str | None:
        """Why a trial can never run here: more ranks than GPUs."""
        if self._gpus and config.ranks > len(self._gpus):
            return f"ranks {config.ranks} need as many GPUs; this host has {len(self._gpus)}"
        return None

    def at_once(self, config: TaskConfig) -> int:
        """As many as the GPUs or cores carry, or as the user asked for."""
        if self._gpus:
            fit = len(self._gpus) // config.ranks
        elif self._max_parallel is not None:
            return self._max_parallel
        else:
            fit = len(self._cores) // (config.ranks * config.threads)
        return max(1, min(fit, self._max_parallel or fit))

    def reserve(self, config: TaskConfig, after: Sequence[str] = ()) -> "LocalRoom | None":
        """Room for one more attempt; None while other attempts, of any launcher, hold it.

        A number of trials the user asked for is taken at its word: cores are then not counted.
        """
        self._jobs = [job for job in self._jobs if not job.has_ended()]
        if self._max_parallel is not None and len(self._jobs) >= self._max_parallel:
            return None
        if self._gpus:
            places = lock_places(self._gpus, config.ranks)
        elif self._max_parallel is not None:
            places = Places((), ())
        else:
            places = lock_places(self._cores, min(config.ranks * config.threads, len(self._cores)))
        return None if places is None else LocalRoom(self, places)

    def flush(self) -> None:
        """Nothing is lined up here."""

    def preview(self, configs: Sequence[TaskConfig]) -> list[str]:
        """The trials' own commands are all there is."""
        return []

    def close(self) -> None:
        """Nothing is held."""

    def start(self, attempt: AttemptFiles, places: Places) -> LocalJob:
        """Start a runner; it inherits the lock files, so its places outlive a killed launcher."""
        gpus = places.names if self._gpus else ()
        resources = Resources(gpus=gpus, num_gpus=len(gpus), stall_min=self._stall_min)
        runner = start_runner(attempt, resources, self._code, keep_open=places.handles)
        job = LocalJob(attempt, runner, places)
        self._jobs.append(job)
        return job


class LocalRoom:
    """Locked GPUs or cores for one attempt."""

    def __init__(self, executor: LocalExecutor, places: Places) -> None:
        self._executor = executor
        self._places = places

    def start(self, attempt: AttemptFiles) -> LocalJob:
        """Start the attempt's runner on them."""
        return self._executor.start(attempt, self._places)

    def release(self) -> None:
        """Unlock them."""
        self._places.release()
