"""Nodes that a trial shall not meet again: one where nothing starts is idle, and would take every retry."""

from launcher.slurm.queue import queue
from segda_core.layout import AttemptFiles, TrialFiles, read_json

FAILED = frozenset({"FAILED", "COMPLETED"})
"""Last states of a job that ended by itself."""


def node_of(attempt: AttemptFiles) -> str:
    """Where an attempt's job ran, in Slurm's words; empty where Slurm does not know it any more."""
    said = read_json(attempt.submission) or {}
    job = queue().find(said["job_name"], said["array_index"]).job if "job_name" in said else None
    return "" if job is None else job.nodes


def nodes_to_avoid(attempt: AttemptFiles) -> tuple[str, ...]:
    """Nodes where earlier attempts of its trial, of one launch, ended before a runner began, without a word.

    A later launch tries them again: somebody may have mended them.
    """
    trial = TrialFiles(attempt.root.parent.parent)
    earlier = [trial.attempt(number) for number in range(1, attempt.number)]
    launch_id = (read_json(attempt.submission) or {}).get("launch_id") if earlier else None
    return tuple(sorted({node for each in earlier if (node := _failed_on(each, launch_id))}))


def _failed_on(attempt: AttemptFiles, launch_id: str | None) -> str:
    said = read_json(attempt.submission) or {}
    if said.get("launch_id") != launch_id or "job_name" not in said:
        return ""
    if attempt.runner(0).exists() or attempt.outcome.exists():
        return ""
    job = queue().find(said["job_name"], said["array_index"]).job
    return job.nodes if job is not None and job.state in FAILED else ""
