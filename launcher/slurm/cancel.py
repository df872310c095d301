"""Cancelling and signalling jobs of ours, each looked up by name and array index right before."""

from collections.abc import Iterable
from contextlib import suppress

from launcher.slurm.command import NoSlurmError, SlurmError, ask
from launcher.slurm.queue import Job, job_of, queue
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles

AT_ONCE = 500
"""Jobs named in one command."""


def cancel_jobs(attempts: Iterable[AttemptFiles], only_waiting: bool = False) -> None:
    """Cancel the jobs of some attempts; with `only_waiting` those that do not run at present.

    One that completes may be on its way back into the queue.
    """
    jobs = _jobs(attempts)
    still = [job for job in jobs if job.is_waiting or job.standstill or job.state == "COMPLETING"]
    _scancel([], still if only_waiting else jobs)


def cancel_held(attempt: AttemptFiles) -> None:
    """Take an attempt's job out of the queue where Slurm could not start it: another will be submitted.

    Where the controller stays silent it is left there, and leaves at once should somebody release it.
    """
    job = job_of(attempt)
    if job is not None and job.could_not_start:
        with suppress(SlurmError):
            _scancel([], [job])


def release_held(attempt: AttemptFiles, partition: str | None) -> bool:
    """Have Slurm try an attempt's job again that it could not start, with all that waits for it in the queue.

    False where there is no such job, it is in another partition than this (None: any), or Slurm does not let
    this user release it.
    """
    job = job_of(attempt)
    if job is None or not job.could_not_start:
        return False
    try:
        queued = ask(["squeue", "--noheader", f"--jobs={job.id}", "--format=%P"]).strip()
        if partition not in (None, queued):
            return False
        ask(["scontrol", "release", job.id])
    except SlurmError:
        return False
    queue().look_again()
    return True


def signal_jobs(attempts: Iterable[AttemptFiles], name: str) -> None:
    """Send every process of some attempts' running jobs a signal."""
    _scancel([f"--signal={name}"], [job for job in _jobs(attempts) if not job.is_waiting])


def _jobs(attempts: Iterable[AttemptFiles]) -> list[Job]:
    """Those in the queue; `SlurmError` where the controller does not say, or there is none."""
    queue().look_again()
    submissions = (read_json(attempt.submission) or {} for attempt in attempts)
    named = [said for said in submissions if "job_name" in said]
    found = [queue().find(said["job_name"], said["array_index"]) for said in named]
    if silent := next((sighting for sighting in found if not sighting.answered), None):
        raise (NoSlurmError if silent.no_slurm else SlurmError)(silent.fault)
    return [sighting.job for sighting in found if sighting.job is not None and sighting.job.is_active]


def _scancel(options: list[str], jobs: list[Job]) -> None:
    for first in range(0, len(jobs), AT_ONCE):
        ask(["scancel", *options, *(job.id for job in jobs[first : first + AT_ONCE])])
