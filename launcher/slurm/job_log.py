"""What a job printed where its trial has no log, because it ended before a runner began."""

from pathlib import Path

from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles

FOLDER = ".slurm"
"""Below a sweep's runs: a folder for each array."""

ALONE = 2
"""Underscores in the name of the log of a job that is no array: JOB_0_log.err, not JOB_TASK_0_log.err."""


def job_log(attempt: AttemptFiles) -> Path | None:
    """What the first node's job of an attempt printed to stderr; None where there is no such job or file."""
    said = read_json(attempt.submission) or {}
    if "job_name" not in said:
        return None
    index = said["array_index"]
    for folder in (above / FOLDER / said["job_name"] for above in attempt.root.parents):
        if folder.is_dir():
            alone = [path for path in folder.glob("*_0_log.err") if path.name.count("_") == ALONE]
            return next(iter(alone or folder.glob(f"*_{index}_0_log.err")), None)
    return None


def last_words(log: Path | None) -> str:
    """The last line that a job printed, and where; empty where it printed none."""
    if log is None:
        return ""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:  # gone meanwhile, or another user's
        return ""
    return f": {lines[-1].strip()}; log: {log}" if lines else ""
