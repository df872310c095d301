"""The words for what a trial's directory says, shared by everything that reads or shows one."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What a trial's directory says about it."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    STOPPED = "stopped"
    """Ended early by a search scheduler: final, never ranked."""
    CANCELLED = "cancelled"
    """Left alone until `--retry cancelled`."""
    FAILED = "failed"
    """Ended by the cause beside it."""
    STALE = "stale"
    """Done, but its images or parents changed since: shown, not ranked, not run again unasked."""
    MISSING = "missing"
    """Never started, or left unfinished in order (after a signal, or for a newer attempt)."""


@dataclass(frozen=True)
class TrialStatus:
    """The state of one trial, read from its directory alone."""

    id: str
    state: State
    cause: str | None = None
    """Of a failure: one of `causes.MACHINE_CAUSES` or `causes.EXPERIMENT_CAUSES`."""
    message: str = ""
    """What the cause says, for people."""
    attempt: int | None = None
    """Number of the newest attempt; None where there was none."""
    step: int | None = None
    """Steps finished so far."""
    steps: int | None = None
    """Steps planned."""
    images_per_second: float | None = None
    miou: float | None = None
    """As a fraction: the result, or of the newest evaluation during training."""
    metrics: dict[str, Any] | None = None
    """Content of metrics.json."""
    older_code: bool = False
    """Done, by another commit than the one checked out."""
    inputs_changed: str = ""
    """Unfinished, and what changed of the inputs since its newest attempt, so that the next starts afresh."""
    waits_for: tuple[str, ...] = ()
    """Not run, and parents that are not done."""
    not_again: bool = False
    """Unfinished for a reason that does not pass by itself (cancelled outside segda, refused by Slurm): the
    launch that meets it leaves it, the next one takes it up."""
    came_too_early: bool = False
    """Its job started before its parents, or its canary, were done: a launch that meets it waits for them."""
    since: float | None = None
    """Unix time of the last change of state or progress."""
