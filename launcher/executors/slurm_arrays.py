"""From attempts to Slurm job arrays, through submitit."""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.slurm import slurm as submitit_slurm

from launcher.executors.base import Resources, code_environment
from launcher.executors.slurm_kept import find_task, keep_tasks
from launcher.executors.slurm_refusal import PASSING, Refusal, SubmissionError, reason_of
from launcher.executors.slurm_request import Shape, gpus_per_node, options_set, parameters
from launcher.executors.slurm_task import NodeTask
from launcher.expand.executor_config import SlurmConfig
from launcher.processes.stop_signals import uninterrupted
from launcher.slurm.command import SlurmError, ask, only_as_configured
from segda_core.files import read_json, write_json
from segda_core.trials.layout import AttemptFiles

MANY_TIMEOUTS = 1_000_000
"""submitit's own count of timeouts must never end a trial: segda's tasks queue themselves again."""

ASKED = "it asked for {} GPUs on each node, one for each rank; executor.gpus_per_node=0 asks for none"

SNAPSHOT = Path("/SNAPSHOT/OF/THE/CODE")
"""Stands in a previewed script for the folder that a launch makes."""


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
        gpus = gpus_per_node(shape, self._config)
        executor = self._executor(shape, gpus, name, parallel, self._code)
        try:
            return self._submit(attempts, name, executor, gpus)
        except SubmissionError as error:
            shutil.rmtree(executor.folder, ignore_errors=True)
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
            with only_as_configured(options_set(self._config)), uninterrupted():
                jobs = executor.submit_array(tasks)
        except (FailedJobError, FailedSubmissionError) as error:
            raise SubmissionError(reason_of(str(error))) from error
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
        executor = self._executor(shape, gpus_per_node(shape, self._config), name, parallel, SNAPSHOT)
        if count > 1:
            executor.parameters["map_count"] = count
        return executor._make_submission_file_text(executor._submitit_command_str, "")

    def _task(self, attempt: AttemptFiles, name: str, index: int, gpus: int) -> NodeTask:
        config = self._config
        resources = Resources(num_gpus=gpus, stall_min=config.stall_min, nodes=config.nodes)
        trial = attempt.trial.root.absolute()
        return NodeTask(trial, attempt.number, name, index, resources, self._code)

    def _executor(
        self, shape: Shape, gpus: int, name: str, parallel: int | None, code: Path | None
    ) -> submitit_slurm.SlurmExecutor:
        folder = self._folder / name
        executor = submitit_slurm.SlurmExecutor(folder, max_num_timeout=MANY_TIMEOUTS)
        executor.update_parameters(
            **parameters(shape, gpus, self._config),
            job_name=name,
            array_parallelism=parallel or MANY_TIMEOUTS,
            setup=[*self._config.setup, *_exports(code), find_task(folder)],
        )
        return executor


def _exports(code: Path | None) -> list[str]:
    """Lines that have submitit itself import the snapshot's code."""
    if code is None:
        return []
    return [f"export {name}={shlex.quote(value)}" for name, value in code_environment(code).items()]
