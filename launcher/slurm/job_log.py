"""What a job printed where its trial has no log, because it ended before a runner began."""

from pathlib import Path

from segda_core.layout import AttemptFiles, read_json

FOLDER = ".slurm"
"""Below a sweep's runs: a folder for each array."""


def job_log(attempt: AttemptFiles) -> Path | None:
    """What the first node's job of an attempt printed to stderr; None where there is no such job or file."""
    said = read_json(attempt.submission) or {}
    if "job_name" not in said:
        return None
    index = said["array_index"]
    for folder in (above / FOLDER / said["job_name"] for above in attempt.root.parents):
        if folder.is_dir():
            in_array = sorted(folder.glob(f"*_{index}_0_log.err"))
            return next(iter(in_array or sorted(folder.glob("*_0_log.err"))), None)
    return None


def last_words(log: Path | None) -> str:
    """The last line that a job printed, and where; empty where it printed none."""
    if log is None:
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1].strip()}; log: {log}" if lines else ""
