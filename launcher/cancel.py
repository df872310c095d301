"""`segda cancel`: a marker in the trial's directory, which its runner sees and every launcher respects."""

import time
from collections.abc import Iterable

from launcher.life import life_of
from launcher.slurm.cancel import cancel_jobs
from launcher.slurm.command import NoSlurmError, SlurmError
from launcher.states import State
from launcher.status import read_status
from segda_core.layout import EXPERIMENT_CAUSES, AttemptFiles, TrialFiles, read_json, write_json


def cancel(trials: Iterable[TrialFiles]) -> list[TrialFiles]:
    """Mark every trial that is not over; those that were marked.

    A running one saves and leaves within seconds, a pending one is not started until `--retry cancelled`. One
    that its experiment's fault ended keeps that cause: nothing tries it again unasked.
    """
    marked = []
    for files in trials:
        status = read_status(files)
        over = status.state in (State.DONE, State.STALE, State.STOPPED, State.CANCELLED)
        if not over and status.cause not in EXPERIMENT_CAUSES:
            files.root.mkdir(exist_ok=True)  # of one that is planned, and that no launch has prepared yet
            files.cancel.touch()
            marked.append(files)
    return marked


def waiting_for(trials: Iterable[TrialFiles], parents: Iterable[TrialFiles]) -> list[TrialFiles]:
    """Those of some trials that have not run and need one of the parents."""
    ids = {files.root.name for files in parents}
    return [files for files in trials if ids.intersection(read_status(files).waits_for)]


def take_out_of_queue(trials: Iterable[TrialFiles]) -> str | None:
    """Cancel the jobs that wait for marked trials; why that failed: they then leave as soon as they start."""
    newest = [files.attempt(numbers[-1]) for files in trials if (numbers := files.attempt_numbers())]
    try:
        cancel_jobs(newest, only_waiting=True)
    except SlurmError as error:
        if isinstance(error, NoSlurmError):
            _end_waiting(newest)
        return f"their jobs stay in the queue and leave when they start: {error}"
    return None


def _end_waiting(attempts: Iterable[AttemptFiles]) -> None:
    """Nobody here can ask for their jobs: without an end of our own they might be waited for for ever."""
    cancelled = {"status": "cancelled", "cause": None, "message": "by `segda cancel`"}
    for attempt in attempts:
        if "job_name" in (read_json(attempt.submission) or {}) and life_of(attempt).waits:
            before = read_json(attempt.outcome) or {"step": None}
            write_json(attempt.outcome, {**before, **cancelled, "time": time.time()})


def uncancel(files: TrialFiles) -> None:
    """Take the marker away, for a trial that is asked for again."""
    files.cancel.unlink(missing_ok=True)
