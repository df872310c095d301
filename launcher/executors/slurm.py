"""The Slurm executor: attempts of one shape become one job array, submitted through submitit."""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from launcher.executors.base import Surroundings
from launcher.executors.slurm_arrays import Arrays
from launcher.executors.slurm_job import SlurmJob
from launcher.executors.slurm_refusal import Refusal, SubmissionError
from launcher.executors.slurm_request import Shape, gpus_per_node, shape_of
from launcher.executors.slurm_shares import Throttle, cut, shares
from launcher.expand.executor_config import SlurmConfig
from launcher.slurm.avoid import nodes_to_avoid
from launcher.slurm.job_log import FOLDER
from launcher.slurm.limits import DEFAULT_ARRAY, Limits, limits
from launcher.slurm.queue import queue
from launcher.trials.outcome import Outcome, Status, write_outcome
from segda_core.config import TaskConfig
from segda_core.errors import ConfigError
from segda_core.trials.layout import AttemptFiles

RENEW_S = 15.0
"""Seconds between two renewals of claims that are not submitted yet."""

PAUSE_S, PAUSE_LIMIT_S = 5.0, 60.0
"""First and longest pause before an array is tried again that Slurm could not take."""

PATIENCE_S = 30.0
"""Seconds that a launcher which will not wait for its jobs keeps asking a silent controller."""

UNKNOWN_AT_ONCE = 256
"""Trials assumed to run side by side where nothing limits them: nobody knows what a cluster has free."""


class SlurmExecutor:
    """Submits attempts as jobs, which then need no launcher."""

    name = "slurm"
    outlives_launcher = True

    def __init__(self, config: SlurmConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._waits = surroundings.waits
        self._arrays = Arrays(config, surroundings.sweep.absolute() / FOLDER, surroundings.code)
        self._limits: Limits | None = None
        self._in_queue = 0
        self._lined_up: list[SlurmJob] = []
        self._jobs: list[SlurmJob] = []
        self._throttle = Throttle(config.max_parallel)
        self._renewed = time.monotonic()
        self._error: SubmissionError | None = None
        self._pause = PAUSE_S
        self._not_before = 0.0
        self._say = surroundings.say
        self._said = False

    @property
    def partition(self) -> str | None:
        """Where jobs go, if the sweep says it."""
        return self._config.partition

    def problem(self, config: TaskConfig) -> str | None:
        """Why a trial can never run here: its ranks do not fit the nodes."""
        nodes, gpus = self._config.nodes, self._config.gpus_per_node
        if gpus and config.ranks != nodes * gpus:
            asked = f"nodes {nodes} x gpus_per_node {gpus}"
            return f"ranks {config.ranks} on {asked}: one rank runs on each GPU; set ranks to {nodes * gpus}"
        if config.ranks % nodes:
            return f"ranks {config.ranks} do not divide among {nodes} nodes"
        return None

    def at_once(self, config: TaskConfig) -> int:
        """As many as the user allows; what a cluster has free nobody knows."""
        return self._config.max_parallel or UNKNOWN_AT_ONCE

    def reserve(self, config: TaskConfig, after: Sequence[str] = ()) -> "SlurmRoom | None":
        """Room for one more job below the cluster's limits; its queue is where trials wait for nodes.

        A launcher that waits for its jobs keeps `max_parallel` by submitting no more than that.
        """
        if self._error is not None or self._all_at_work():
            return None
        if self._limits is None:
            _check_commands()
            self._limits = limits(self._config.account, self._config.qos)
            self._in_queue = queue().active()
        most = None if self._limits is None else self._limits.jobs
        if most is not None and self._in_queue + len(self._lined_up) >= most:
            self._in_queue = queue().active()
            return None
        return SlurmRoom(self, replace(shape_of(config, self._config), after=tuple(after)))

    def line_up(self, attempt: AttemptFiles, shape: Shape) -> SlurmJob:
        """Keep an attempt for the next `flush`; a full array is submitted at once where it is not throttled.

        Arrays that divide what may run at once must all be known first.
        """
        job = SlurmJob(attempt, shape)
        self._lined_up.append(job)
        self._jobs.append(job)
        self._renew()
        if self._config.max_parallel is None:
            alike = [other for other in self._lined_up if other.shape == shape]
            if len(alike) >= self._most:
                self._submit(alike, None)
        return job

    def flush(self) -> None:
        """Submit what is lined up, an array for each shape.

        What Slurm cannot take now is tried again by the next call, where the launcher waits for its jobs;
        a launcher that does not gives such attempts back.
        """
        deadline = time.monotonic() + PATIENCE_S
        self._throttle = Throttle(self._config.max_parallel)
        self._submit_all()
        while self._silent() and not self._waits and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
            self._submit_all()
        if not self._waits:
            self._end_unsubmitted(self._lined_up)
        self._renew()

    def close(self) -> None:
        """Give back what no job stands for."""
        try:
            self._end_unsubmitted(self._lined_up)
        finally:
            # a silent controller: what it took fails when it starts, or the next launch supersedes it
            with suppress(SubmissionError):
                self._arrays.withdraw_doubtful()

    def preview(self, configs: Sequence[TaskConfig]) -> list[str]:
        """The sbatch scripts that would be submitted for these trials, or at first where the launch stays."""
        _check_commands()
        at_first = self._config.max_parallel if self._waits else None
        shapes = [shape_of(config, self._config) for config in configs][:at_first]
        self._limits = self._limits or limits(self._config.account, self._config.qos)
        parts = cut(shapes, self._most, self._config.max_parallel)
        try:
            return [self._arrays.script(shapes[part[0]], len(part), parallel) for part, parallel in parts]
        except SubmissionError as error:
            raise ConfigError([f"executor: slurm: {error}"]) from error

    @property
    def _most(self) -> int:
        """Trials of one array."""
        return DEFAULT_ARRAY if self._limits is None else self._limits.array

    def _all_at_work(self) -> bool:
        if not self._waits or self._config.max_parallel is None:
            return False
        self._jobs = [job for job in self._jobs if not job.over]
        return len(self._jobs) >= self._config.max_parallel

    def _silent(self) -> bool:
        return self._error is not None and self._error.refusal is Refusal.SILENT

    def _submit_all(self) -> None:
        if time.monotonic() < self._not_before:
            return
        self._error = None
        jobs = self._lined_up
        for part, parallel in cut([job.shape for job in jobs], self._most, self._config.max_parallel):
            if not self._submit([jobs[position] for position in part], parallel):
                break

    def _submit(self, jobs: Sequence[SlurmJob], parallel: int | None) -> bool:
        """Submit one array, in halves where it is more than Slurm takes; False where the rest must wait."""
        self._renew()
        shape = replace(jobs[0].shape, after=(*jobs[0].shape.after, *self._throttle.behind(parallel)))
        try:
            array = self._arrays.submit(shape, [job.attempt for job in jobs], parallel)
        except SubmissionError as error:
            if error.refusal in (Refusal.FULL, Refusal.BIG) and len(jobs) > 1:
                return self._submit_halves(jobs, parallel)
            if error.refusal is Refusal.WRONG and shape.avoided:
                return self._submit_anywhere(jobs, parallel)
            if error.refusal in (Refusal.WRONG, Refusal.BIG):
                self._error = error
                self._end_unsubmitted(jobs)
                self._error = None
                return True
            self._postpone(error)
            return False
        self._throttle.add(array, parallel)
        self._pause = PAUSE_S
        self._in_queue += len(jobs)
        self._take_out(jobs)
        self._say_that_gpus_were_found(shape)
        return True

    def _say_that_gpus_were_found(self, shape: Shape) -> None:
        if self._config.gpus_per_node is None and not self._said and gpus_per_node(shape, self._config):
            self._said = True
            self._say("note: jobs ask for a GPU for each rank; --set executor.gpus_per_node=0: for none")

    def _submit_anywhere(self, jobs: Sequence[SlurmJob], parallel: int | None) -> bool:
        """There may be no nodes but those that are avoided."""
        for job in jobs:
            job.shape = replace(job.shape, avoided=())
        return self._submit(jobs, parallel)

    def _submit_halves(self, jobs: Sequence[SlurmJob], parallel: int | None) -> bool:
        halves = [jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]]
        each = [None, None] if parallel is None else list(shares([len(half) for half in halves], parallel))
        return all(self._submit(half, share) for half, share in zip(halves, each, strict=True))

    def _postpone(self, error: SubmissionError) -> None:
        self._error = error
        self._not_before = time.monotonic() + (self._pause if self._waits else 0)
        if self._waits:
            print(f"{error}; trying again in {self._pause:g} s", flush=True)
        self._pause = min(2 * self._pause, PAUSE_LIMIT_S)

    def _end_unsubmitted(self, jobs: Sequence[SlurmJob]) -> None:
        """Give attempts back that no job stands for; their numbers are spent, should sbatch be wrong."""
        why = str(self._error or "the launch ended before it was submitted")
        for job in jobs:
            write_outcome(job.attempt, Outcome(Status.UNSUBMITTED, why))
        self._take_out(jobs)

    def _take_out(self, jobs: Sequence[SlurmJob]) -> None:
        gone = {id(job) for job in jobs}
        self._lined_up = [job for job in self._lined_up if id(job) not in gone]

    def _renew(self) -> None:
        """Show other launchers that claims without a job are not forgotten."""
        if time.monotonic() - self._renewed > RENEW_S:
            self._renewed = time.monotonic()
            for job in self._lined_up:
                job.attempt.root.touch()


def _check_commands() -> None:
    """`ConfigError` on a machine without Slurm, before anything is claimed."""
    if missing := [name for name in ("sbatch", "srun") if shutil.which(name) is None]:
        raise ConfigError([f"executor: slurm: there is no {' and no '.join(missing)} on this machine"])


@dataclass(frozen=True)
class SlurmRoom:
    """A place in the queue for one attempt."""

    executor: SlurmExecutor
    shape: Shape

    def start(self, attempt: AttemptFiles) -> SlurmJob:
        """Line the attempt up."""
        avoided = nodes_to_avoid(attempt, self.executor.partition) if self.shape.nodes == 1 else ()
        return self.executor.line_up(attempt, replace(self.shape, avoided=avoided))

    def release(self) -> None:
        """Nothing was taken."""
