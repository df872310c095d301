"""Nodes that a trial shall not meet again: one where nothing starts is idle, and would take every retry."""

from collections.abc import Collection

from launcher.slurm.command import SlurmError, ask
from launcher.slurm.queue import job_of
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles

OUT = ("down", "drain", "drng", "fail", "maint", "unk", "boot", "pow")
"""How states of nodes begin that start no jobs now; one that does not respond ends in a star."""


def node_of(attempt: AttemptFiles) -> str:
    """Where an attempt's job ran, in Slurm's words; empty where Slurm does not know it any more."""
    job = job_of(attempt)
    return "" if job is None else job.nodes


def nodes_to_avoid(attempt: AttemptFiles, partition: str | None) -> tuple[str, ...]:
    """Nodes where earlier attempts of its trial, of one launch, ended before a runner began, without a word.

    None where the partition has no other node at work. A later launch tries them again: they may be mended.
    """
    trial = attempt.trial
    earlier = [trial.attempt(number) for number in range(1, attempt.number)]
    launch_id = (read_json(attempt.submission) or {}).get("launch_id") if earlier else None
    found = {node for each in earlier if (node := _failed_on(each, launch_id))}
    return tuple(sorted(found)) if found and _others_work(found, partition) else ()


def _others_work(nodes: Collection[str], partition: str | None) -> bool:
    where = [] if partition is None else [f"--partition={partition}"]
    try:
        lines = ask(["sinfo", "--all", "--noheader", "--Node", "--format=%N %t", *where]).splitlines()
    except SlurmError:
        return False
    told = [line.split() for line in lines]
    return any(
        name not in nodes and not (state.startswith(OUT) or state.endswith("*")) for name, state in told
    )


def _failed_on(attempt: AttemptFiles, launch_id: str | None) -> str:
    said = read_json(attempt.submission) or {}
    if said.get("launch_id") != launch_id or attempt.runner(0).exists() or attempt.outcome.exists():
        return ""
    job = job_of(attempt)
    return job.nodes if job is not None and job.state == "FAILED" else ""
