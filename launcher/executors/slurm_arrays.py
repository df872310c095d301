"""From attempts to Slurm job arrays, through submitit."""

import errno
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.slurm import slurm as submitit_slurm

from launcher.executor_config import SlurmConfig
from launcher.executors.base import Resources, code_environment
from launcher.executors.slurm_kept import find_task, keep_tasks
from launcher.executors.slurm_task import NodeTask
from launcher.slurm.command import SlurmError, ask, only_as_configured
from launcher.slurm.gpus import partition_has_gpus, says_gpus
from launcher.stop_signals import uninterrupted
from segda_core.config import TaskConfig
from segda_core.layout import AttemptFiles, read_json, write_json

MANY_TIMEOUTS = 1_000_000
"""submitit's own count of timeouts must never end a trial: segda's tasks queue themselves again."""

SAVE_BEFORE_S = 90
"""Seconds before the time limit at which Slurm asks a job to save; Slurm may be a minute early."""

BIG = "Invalid job array specification"
FULL = ("MaxSubmit", "GrpSubmit", "temporarily unable to accept")
SILENT = (
    *("Unable to contact", "Socket timed out", "Connection refused", "Connection timed out", "timed out on"),
    *("Communication connection failure", "Zero Bytes", "Transport endpoint", "in standby mode"),
)
"""What sbatch says where trying again later may help. "job submit limit" is no such word: it is part of the
text for every violated policy, of which some no waiting changes."""


PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)
"""Faults of a file system that may pass: it is full, or does not answer."""

ASKED = "it asked for {} GPUs on each node, one for each rank; executor.gpus_per_node=0 asks for none"

SNAPSHOT = Path("/SNAPSHOT/OF/THE/CODE")
"""Stands in a previewed script for the folder that a launch makes."""


class Refusal(Enum):
    """Why Slurm did not take an array."""

    WRONG = auto()
    """It never will as it is asked for: no such partition, more than a node has …"""
    BIG = auto()
    """More tasks than an array may have there."""
    FULL = auto()
    """More jobs than this user may have in the queue."""
    SILENT = auto()
    """The controller does not answer."""


class SubmissionError(RuntimeError):
    """An array that was not submitted."""

    def __init__(self, message: str, refusal: Refusal | None = None) -> None:
        super().__init__(f"sbatch: {message or 'it ended without a word'}")
        self.said = message
        self.refusal = refusal or _refusal(message)


def _refusal(message: str) -> Refusal:
    if not message or any(text in message for text in SILENT):
        return Refusal.SILENT
    if any(text in message for text in FULL):
        return Refusal.FULL
    return Refusal.BIG if BIG in message else Refusal.WRONG


@dataclass(frozen=True, order=True)
class Shape:
    """What a job asks for; jobs of one shape share an array."""

    nodes: int
    ranks: int
    """On each node."""
    threads: int
    """Of each rank."""
    workers: int
    """Loader processes of each rank; where there are no GPUs they share its cores."""
    after: tuple[str, ...] = ()
    """Jobs it starts after, however they end: a dependency on success might pend for ever."""
    avoided: tuple[str, ...] = ()
    """Nodes where it could not begin, beside those that the configuration excludes."""


def shape_of(config: TaskConfig, slurm: SlurmConfig) -> Shape:
    """A trial's: its ranks spread evenly over the nodes."""
    return Shape(slurm.nodes, config.ranks // slurm.nodes, config.threads, config.workers)


class Arrays:
    """Submits arrays of one launch; each has a folder of its own for submitit's files."""

    def __init__(self, config: SlurmConfig, folder: Path, code: Path | None) -> None:
        self._config = config
        self._folder = folder
        self._code = code
        self._count = 0
        self._doubtful: list[str] = []
        """Arrays that Slurm may have taken, although sbatch got no answer."""

    def submit(self, shape: Shape, attempts: Sequence[AttemptFiles], parallel: int | None) -> str:
        """Submit an array of attempts; its id, or `SubmissionError` where Slurm does not take it.

        Each attempt says beforehand which job it becomes, so that no moment exists in which it has one that
        cannot be found.
        """
        self.withdraw_doubtful()
        self._count += 1
        said = read_json(attempts[0].submission)
        assert said is not None
        name = f"segda-{said['launch_id']}-{self._count}"
        folder = self._folder / name
        executor, gpus = self._executor(shape, name, parallel, folder, self._code), self.gpus(shape)
        try:
            return self._submit(attempts, name, executor, gpus)
        except SubmissionError as error:
            shutil.rmtree(folder, ignore_errors=True)
            if error.refusal is Refusal.SILENT:
                self._doubtful.append(name)
            if error.refusal is Refusal.WRONG and gpus and self._config.gpus_per_node is None:
                raise SubmissionError(f"{error.said}; {ASKED.format(gpus)}", Refusal.WRONG) from error
            raise

    def _submit(
        self, attempts: Sequence[AttemptFiles], name: str, executor: submitit_slurm.SlurmExecutor, gpus: int
    ) -> str:
        tasks = [self._task(attempt, name, index, gpus) for index, attempt in enumerate(attempts)]
        try:
            for task, attempt in zip(tasks, attempts, strict=True):
                named = {"job_name": name, "array_index": task.array_index}
                write_json(attempt.submission, {**(read_json(attempt.submission) or {}), **named})
            keep_tasks(executor.folder, tasks, self._config.timeout_min, MANY_TIMEOUTS)
            # uninterrupted: what an sbatch that is ended has submitted nobody knows
            with only_as_configured(self._chosen), uninterrupted():
                jobs = executor.submit_array(tasks)
        except (FailedJobError, FailedSubmissionError) as error:
            raise SubmissionError(_reason(str(error))) from error
        except OSError as error:
            if error.errno not in PASSING:
                raise
            raise SubmissionError(str(error), Refusal.SILENT) from error  # Slurm may have taken it
        return str(jobs[0].job_id).partition("_")[0]

    def withdraw_doubtful(self) -> None:
        """Cancel arrays that Slurm took without saying so; `SubmissionError` while it stays silent."""
        while self._doubtful:
            try:
                ask(["scancel", f"--name={self._doubtful[0]}"])
            except SlurmError as error:
                raise SubmissionError(str(error), Refusal.SILENT) from error
            self._doubtful.pop(0)

    def script(self, shape: Shape, count: int, parallel: int | None) -> str:
        """The sbatch script of an array of `count` trials; names of the launch to come stand in capitals."""
        name = "segda-LAUNCH-N"
        executor = self._executor(shape, name, parallel, self._folder / name, SNAPSHOT)
        if count > 1:
            executor.parameters["map_count"] = count
        return executor._make_submission_file_text(executor._submitit_command_str, "")

    def gpus(self, shape: Shape) -> int:
        """GPUs asked for on each node; `SubmissionError` where Slurm does not say whether there are any."""
        if self._config.gpus_per_node is not None:
            return self._config.gpus_per_node
        if says_gpus(_sbatch(self._config.sbatch)):
            return 0
        try:
            return shape.ranks if partition_has_gpus(self._config.partition) else 0
        except SlurmError as error:
            advice = "executor.gpus_per_node says how many GPUs to ask for"
            raise SubmissionError(f"{error}; {advice}", Refusal.SILENT) from error

    def _cpus(self, shape: Shape) -> int:
        """Cores on each node."""
        if self.gpus(shape):
            return shape.ranks * (self._config.cpus_per_gpu or shape.threads + shape.workers)
        return shape.ranks * shape.threads

    def _task(self, attempt: AttemptFiles, name: str, index: int, gpus: int) -> NodeTask:
        config = self._config
        resources = Resources(num_gpus=gpus, stall_min=config.stall_min, nodes=config.nodes)
        trial = attempt.root.parent.parent.absolute()
        return NodeTask(trial, attempt.number, name, index, resources, self._code)

    @property
    def _chosen(self) -> set[str]:
        """Options of sbatch that the configuration sets."""
        fields = {name for name, value in self._config if value is not None}
        return fields | _sbatch(self._config.sbatch).keys()

    def _executor(
        self, shape: Shape, name: str, parallel: int | None, folder: Path, code: Path | None
    ) -> submitit_slurm.SlurmExecutor:
        executor = submitit_slurm.SlurmExecutor(folder, max_num_timeout=MANY_TIMEOUTS)
        setup = [*self._config.setup, *_exports(code), find_task(folder)]
        executor.update_parameters(**self._parameters(shape, name, parallel), setup=setup)
        return executor

    def _parameters(self, shape: Shape, name: str, parallel: int | None) -> dict[str, Any]:
        config, cpus = self._config, self._cpus(shape)
        own = {"partition", "qos", "account", "constraint"}
        given = {key: value for key in own if (value := getattr(config, key)) is not None}
        excluded = [*([] if config.exclude is None else [config.exclude]), *shape.avoided]
        optional = {
            "exclude": ",".join(excluded) or None,
            "gpus_per_node": self.gpus(shape) or None,
            "mem": _memory(config.mem_gb),
            "dependency": f"afterany:{':'.join(shape.after)}" if shape.after else None,
        }
        return {
            **given,
            **{key: value for key, value in optional.items() if value is not None},
            "job_name": name,
            "time": config.timeout_min,
            "nodes": shape.nodes,
            "ntasks_per_node": 1,
            "cpus_per_task": cpus,
            "signal_delay_s": SAVE_BEFORE_S,
            "array_parallelism": parallel or MANY_TIMEOUTS,
            "srun_args": [f"--cpus-per-task={cpus}", "--kill-on-bad-exit=0", "--wait=0"],
            "additional_parameters": {"requeue": True, **_sbatch(config.sbatch)},
        }


def _exports(code: Path | None) -> list[str]:
    """Lines that have submitit itself import the snapshot's code."""
    if code is None:
        return []
    return [f"export {name}={shlex.quote(value)}" for name, value in code_environment(code).items()]


def _sbatch(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name.lstrip("-").replace("_", "-"): value for name, value in options.items() if value is not False
    }


def _memory(gigabytes: float | None) -> str | None:
    return None if gigabytes is None else f"{round(gigabytes * 1024)}M"


def _reason(text: str) -> str:
    """The errors of sbatch on one line, out of submitit's message."""
    lines = [line.partition("sbatch: error: ")[2] for line in text.splitlines()]
    found = list(dict.fromkeys(line for line in lines if line))
    return "; ".join(found) or text.strip()
