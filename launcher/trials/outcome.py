"""outcome.json: how an attempt ended, in the words of whoever saw its end."""

import time
from dataclasses import asdict, dataclass
from enum import StrEnum

from segda_core.files import read_json, write_json
from segda_core.trials.layout import AttemptFiles


class Status(StrEnum):
    """What became of an attempt."""

    DONE = "done"
    """It published the trial's result."""
    SAVED = "saved"
    """It was asked to leave and did so in order; the next attempt goes on from there."""
    SUPERSEDED = "superseded"
    """A newer attempt took over."""
    STOPPED = "stopped"
    """Ended early by a search, for good."""
    CANCELLED = "cancelled"
    """By `segda cancel`."""
    FAILED = "failed"
    """For one of `MACHINE_CAUSES` or `EXPERIMENT_CAUSES`."""
    UNSUBMITTED = "unsubmitted"
    """No job ever stood for it."""
    WAITS = "waits"
    """Its job began before what it needs was done."""


@dataclass(frozen=True)
class Outcome:
    """Content of outcome.json, without the time."""

    status: Status
    message: str
    cause: str | None = None
    """Of a failure."""
    step: int | None = None
    """Newest one known to have been made."""
    asked_by: str | None = None
    """The signal that asked it to leave."""


BY_CANCEL = Outcome(Status.CANCELLED, "by `segda cancel`")
BY_SEARCH = Outcome(Status.STOPPED, "ended early by the search")
KILLED = Outcome(Status.FAILED, "it ended without a word", "killed")
"""Of an attempt that is not alive and left no outcome."""


def read_outcome(attempt: AttemptFiles) -> Outcome | None:
    """None while the attempt has not ended, or where nothing was there to see it."""
    raw = read_json(attempt.outcome)
    if raw is None:
        return None
    more = {key: raw.get(key) for key in ("cause", "step", "asked_by")}
    return Outcome(Status(raw["status"]), raw["message"], **more)


def write_outcome(attempt: AttemptFiles, outcome: Outcome) -> None:
    """By the runner of the first node, as its last act; by others where none ran, or was lost."""
    write_json(attempt.outcome, {**asdict(outcome), "time": time.time()})
