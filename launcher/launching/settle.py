"""What a trial of a launch does when an attempt has ended: it is over, in other hands, or tried again."""

import time
from dataclasses import replace

from launcher.launching.entry import Entry, Phase
from launcher.launching.launch_view import ending
from launcher.launching.live import View
from launcher.trials.bad_images import bad_images
from launcher.trials.states import State, TrialStatus
from launcher.trials.waiting import absent_parents
from launcher.words import duration
from segda_core.trials.causes import MACHINE_CAUSES

BACKOFF_S, BACKOFF_LIMIT_S = 2.0, 60.0
"""First and longest pause before a trial is tried again; it doubles each time."""

ALIVE = (State.RUNNING, State.QUEUED)


def settle(entry: Entry, status: TrialStatus, view: View, *, stopping: bool) -> bool:
    """Decide what a trial in this state does next, and say so; whether it is over."""
    if status.state in ALIVE:
        if entry.phase is not Phase.ELSEWHERE:
            view.say(f"waiting  {entry.id}: {status.state} elsewhere")
        entry.phase = Phase.ELSEWHERE
    elif status.came_too_early and not stopping:
        entry.parents = tuple(absent_parents(entry.files))
        _try_again(entry, status, view)
    elif status.not_again:
        return _end(entry, status, view)
    elif _to_be_continued(status) and stopping:
        entry.phase = Phase.WAITING
        view.say(f"stopped  {entry.id}: {status.message}", "yellow")
    elif _left_in_order(status) or (_to_be_continued(status) and entry.retries < entry.place.config.retry):
        _try_again(entry, status, view)
    else:
        return _end(entry, status, view)
    return False


def _end(entry: Entry, status: TrialStatus, view: View) -> bool:
    entry.phase = Phase.OVER
    if status.state is State.DONE and entry.job is not None and not entry.reached:
        entry.took = time.monotonic() - entry.started
    view.say(*ending(entry, status))
    if noted := bad_images([status.metrics or {}]):
        view.say(f"note     {entry.id}: {', '.join(noted)}", "yellow")
    return True


def _try_again(entry: Entry, status: TrialStatus, view: View) -> None:
    """Only failures are counted; who left in order waits the longer the more often it gained no step."""
    step = status.step or 0
    entry.in_vain = 0 if step > entry.reached else entry.in_vain + 1
    entry.reached = step
    doublings = entry.in_vain
    if not _left_in_order(status):
        doublings = entry.retries
        entry.retries += 1
    pause = min(BACKOFF_S * 2**doublings, BACKOFF_LIMIT_S)
    newest = status.attempt or 0
    entry.phase = Phase.WAITING
    entry.not_before = time.monotonic() + pause
    entry.submission = replace(entry.submission, fresh=entry.submission.fresh and newest <= entry.seen)
    entry.seen = newest
    reason = f"{status.cause or 'stopped'}: {status.message}"
    view.say(f"again    {entry.id} in {duration(pause)} ({reason})", "yellow")


def _to_be_continued(status: TrialStatus) -> bool:
    """Whether a trial ended through no fault of its own."""
    by_machine = status.state is State.FAILED and status.cause in MACHINE_CAUSES
    return by_machine or _left_in_order(status)


def _left_in_order(status: TrialStatus) -> bool:
    """Whether a trial was asked to leave (preempted), which is no failure."""
    return status.state is State.MISSING
