"""The tasks of an array, kept where its jobs find them by what is known before sbatch has answered.

submitit names the file that a job loads after the job's id, once sbatch has said it. Jobs of a launcher that
was killed in between would look for it in vain.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from submitit.core.utils import DelayedSubmission

from launcher.executors.slurm_task import NodeTask

INDEX = "${SLURM_ARRAY_TASK_ID:-0}"
JOB = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"


def keep_tasks(folder: Path, tasks: Sequence[NodeTask], timeout_min: int, max_timeouts: int) -> None:
    """Write each task under its index in the array."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        submission = DelayedSubmission(task)
        submission.set_timeout(timeout_min, max_timeouts)
        submission.dump(folder / f"task.{task.array_index}.pkl")


def find_task(folder: Path) -> str:
    """A line of the sbatch script that has submitit find the kept task, where its own has no name yet."""
    return f'ln -s "task.{INDEX}.pkl" {shlex.quote(str(folder))}/"{JOB}_submitted.pkl" 2>/dev/null || true'
