"""Reading a trial's state from its directory, the only truth about it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from launcher.slurm.avoid import node_of
from launcher.slurm.ending import CANCELLED, CAUSES, FORGOTTEN, PREEMPTED, end_of, why_unknown
from launcher.slurm.job_log import job_log, last_words
from launcher.slurm.requeue import goes_on
from launcher.trials.inputs import outdated, with_inputs
from launcher.trials.life import life_of
from launcher.trials.outcome import BY_CANCEL, BY_SEARCH, KILLED, Outcome, Status, read_outcome
from launcher.trials.progress import UNREADABLE, read_progress
from launcher.trials.states import State, TrialStatus
from segda_core.files import read_json
from segda_core.trials.causes import EXPERIMENT_CAUSES
from segda_core.trials.layout import AttemptFiles, TrialFiles

LEFT_ALONE = {
    CANCELLED: "its job was cancelled outside segda (scancel)",
    FORGOTTEN: "its job was cancelled before it started, or failed then: Slurm forgot which",
}
"""Last state of a job -> why the launch that meets it does not submit its trial again."""


NOTHING: Mapping[str, str] = MappingProxyType({})


def read_status(
    files: TrialFiles, images: Mapping[str, str] = NOTHING, commit: str | None = None
) -> TrialStatus:
    """`understand`, but a trial with a broken file is failed without a cause: others can still be read."""
    try:
        return understand(files, images, commit)
    except UNREADABLE as error:
        message = f"a file of it cannot be read ({error}); --rerun {files.root.name} starts it anew"
        return TrialStatus(files.root.name, State.FAILED, message=message)


def understand(
    files: TrialFiles, images: Mapping[str, str] = NOTHING, commit: str | None = None
) -> TrialStatus:
    """State of one trial; stale where its images, or those of a trial above it, are not what they were.

    `images` are trial ids with the hashes of their images today; who is not among them counts as unchanged.
    `commit` is the code checked out now, to mark results of another one.
    """
    metrics = read_json(files.metrics)
    if metrics is not None:
        return _done(files, metrics, images, commit)
    numbers = files.attempt_numbers()
    if not numbers:
        return with_inputs(TrialStatus(files.root.name, _unfinished(files)), files, images)
    attempt = files.attempt(numbers[-1])
    outcome = read_outcome(attempt)
    if outcome is None or goes_on(outcome):
        life = life_of(attempt)
        if life.alive:
            state = State.QUEUED if life.waits else State.RUNNING
            return _progress(files, attempt, state, None, life.message)
        outcome = _outcome(files, attempt)  # it may have ended since we first looked
    if outcome.status is Status.DONE and (metrics := read_json(files.metrics)) is not None:
        return _done(files, metrics, images, commit)
    status = _ended(files, attempt, outcome)
    return with_inputs(status, files, images)


def _done(
    files: TrialFiles, metrics: dict[str, Any], images: Mapping[str, str], commit: str | None
) -> TrialStatus:
    difference = outdated(files, metrics, images)
    return TrialStatus(
        id=files.root.name,
        state=State.STALE if difference else State.DONE,
        message=f"{difference} since" if difference else "",
        attempt=metrics["attempt"],
        step=metrics["steps"],
        steps=metrics["steps"],
        images_per_second=metrics["images_per_second"],
        miou=metrics.get("miou"),
        metrics=metrics,
        older_code=commit is not None and metrics["code"]["commit"] != commit,
    )


def _outcome(files: TrialFiles, attempt: AttemptFiles) -> Outcome:
    """How an attempt ended: by its own word, completed by what its scheduler knows of its job."""
    outcome = read_outcome(attempt)
    if outcome is None and attempt.stopped.exists():
        return BY_SEARCH
    submission = read_json(attempt.submission) or {}
    if "job_name" not in submission:
        return outcome or KILLED
    if files.cancel.exists():
        return outcome or BY_CANCEL
    name, index = submission["job_name"], submission["array_index"]
    state = end_of(name, index, started=attempt.runner(0).exists())
    if state in LEFT_ALONE:
        return Outcome(Status.UNSUBMITTED, LEFT_ALONE[state])
    if state == PREEMPTED and (outcome is None or outcome.status is Status.FAILED):
        return Outcome(Status.SAVED, "Slurm preempted it before it had saved")
    where = f" (on {node})" if (node := node_of(attempt)) else ""
    if outcome is None and state in CAUSES:
        cause, message = CAUSES[state]
        return Outcome(Status.FAILED, f"{message}{where}", cause)
    if outcome is not None:
        return outcome
    said = last_words(None if attempt.runner(0).exists() else job_log(attempt))
    why = state or why_unknown(name, index)
    return replace(KILLED, message=f"its job ended without a word ({why}){where}{said}")


def _ended(files: TrialFiles, attempt: AttemptFiles, outcome: Outcome) -> TrialStatus:
    if outcome.status is Status.STOPPED:
        return _progress(files, attempt, State.STOPPED, None, outcome.message)
    failed = outcome.status is Status.FAILED
    if failed and (outcome.cause in EXPERIMENT_CAUSES or not files.cancel.exists()):
        return _progress(files, attempt, State.FAILED, outcome.cause, outcome.message)
    status = _progress(files, attempt, _unfinished(files), None, outcome.message)
    early = outcome.status is Status.WAITS
    not_again = early or outcome.status is Status.UNSUBMITTED
    return replace(status, not_again=not_again, came_too_early=early and status.state is State.MISSING)


def _unfinished(files: TrialFiles) -> State:
    return State.CANCELLED if files.cancel.exists() else State.MISSING


def _progress(
    files: TrialFiles, attempt: AttemptFiles, state: State, cause: str | None = None, message: str = ""
) -> TrialStatus:
    progress = read_progress(files)
    return TrialStatus(
        id=files.root.name,
        state=state,
        cause=cause,
        message=message,
        attempt=attempt.number,
        step=progress.step,
        steps=progress.steps,
        images_per_second=progress.images_per_second,
        miou=progress.miou,
        since=progress.time,
    )
