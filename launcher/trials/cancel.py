"""`segda cancel`: a marker in the trial's directory, which its runner sees and every launcher respects."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from launcher.slurm.cancel import cancel_jobs
from launcher.slurm.command import NoSlurmError, SlurmError
from launcher.status import read_status
from launcher.trials.life import life_of
from launcher.trials.outcome import BY_CANCEL, read_outcome, write_outcome
from launcher.trials.states import State
from segda_core.files import read_json
from segda_core.trials.causes import EXPERIMENT_CAUSES
from segda_core.trials.layout import AttemptFiles, TrialFiles


def cancel(trials: Iterable[TrialFiles]) -> list[TrialFiles]:
    """Mark every trial that is not over; those that are cancelled now.

    A running one saves and leaves within seconds, a pending one is not started until `--retry cancelled`. One
    that its experiment's fault ended keeps that cause; a launch that is about to retry it does not any more.
    """
    marked = []
    for files in trials:
        status = read_status(files)
        if status.state not in (State.DONE, State.STALE, State.STOPPED, State.CANCELLED):
            files.root.mkdir(exist_ok=True)  # of one that is planned, and that no launch has prepared yet
            files.cancel.touch()
            marked += [] if status.cause in EXPERIMENT_CAUSES else [files]
    return marked


def waiting_for(trials: Iterable[TrialFiles], parents: Iterable[TrialFiles]) -> list[TrialFiles]:
    """Those of some trials that have not run and need one of the parents."""
    ids = {files.root.name for files in parents}
    return [files for files in trials if ids.intersection(read_status(files).waits_for)]


def take_out_of_queue(trials: Iterable[TrialFiles]) -> str | None:
    """Cancel the jobs that wait for marked trials; why that failed: they then leave as soon as they start."""
    attempts = [[files.attempt(number) for number in files.attempt_numbers()] for files in trials]
    try:
        cancel_jobs(chain(*attempts), only_waiting=True)
    except SlurmError as error:
        if isinstance(error, NoSlurmError):
            _end_waiting(each[-1] for each in attempts if each)
        return f"their jobs stay in the queue and leave when they start: {error}"
    return None


def _end_waiting(attempts: Iterable[AttemptFiles]) -> None:
    """Nobody here can ask for their jobs: without an end of our own they might be waited for for ever."""
    for attempt in attempts:
        if "job_name" in (read_json(attempt.submission) or {}) and life_of(attempt).waits:
            before = read_outcome(attempt)
            write_outcome(attempt, replace(BY_CANCEL, step=None if before is None else before.step))


def uncancel(files: TrialFiles) -> None:
    """Take the marker away, for a trial that is asked for again."""
    files.cancel.unlink(missing_ok=True)
