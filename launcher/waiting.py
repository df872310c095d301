"""Whether a trial's parents are done, and if not, whether waiting for them makes sense."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from launcher.states import State
from launcher.status import read_status
from segda_core.layout import TrialFiles


@dataclass(frozen=True)
class Wait:
    """A trial waits for this parent."""

    parent: TrialFiles
    in_vain: str | None = None
    """Why nobody finishes it; None where somebody is at it."""


def find_wait(parents: Sequence[TrialFiles], is_ours: Callable[[str], bool]) -> Wait | None:
    """The first parent that is not done, one nobody finishes before others; None where all are done.

    `is_ours` says of an id whether this launch is not through with it: an old result is then about to go.
    """
    waits = [wait for parent in parents if (wait := _wait_for(parent, is_ours)) is not None]
    return next((wait for wait in waits if wait.in_vain), waits[0] if waits else None)


def _wait_for(parent: TrialFiles, is_ours: Callable[[str], bool]) -> Wait | None:
    if is_ours(parent.root.name):
        return Wait(parent)
    if parent.metrics.exists():
        return None
    status = read_status(parent)
    if status.metrics is not None:
        return None
    if status.state in (State.RUNNING, State.QUEUED):
        return Wait(parent)
    why = f"{status.state} ({status.cause})" if status.cause else str(status.state)
    return Wait(parent, in_vain=why)
