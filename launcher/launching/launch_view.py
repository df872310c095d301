"""What a launch tells about its trials: how those stand that run, and how one ended."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import fmean

from launcher.launching.entry import Entry, Phase
from launcher.launching.live import Overview, Row
from launcher.trials.life import DEAD, Life, life_of
from launcher.trials.progress import UNREADABLE, read_progress
from launcher.trials.states import State, TrialStatus
from launcher.trials.waiting import newest_attempt
from launcher.words import duration, percent

IN_WORK = (Phase.RUNNING, Phase.ELSEWHERE)


def look(entries: Sequence[Entry]) -> Overview:
    """Read how far the trials in work have come."""
    shown = [entry for entry in entries if entry.phase in IN_WORK]
    for entry in shown:
        with suppress(*UNREADABLE):  # of an earlier attempt: no reason to end the launch of all others
            progress = read_progress(entry.files)
            entry.progress = replace(progress, steps=entry.config.planned_steps or progress.steps)
        life = _life_in_queue(entry)
        entry.queued, entry.odd_wait = life.waits, life.message if life.oddly else ""
    here = [entry for entry in shown if not entry.queued]
    return Overview(
        finished=sum(entry.phase is Phase.OVER for entry in entries),
        total=len(entries),
        rows=[Row(entry.id, entry.progress, entry.phase is Phase.ELSEWHERE) for entry in here],
        queued=len(shown) - len(here),
        waiting=sum(entry.phase is Phase.WAITING and bool(entry.parents) for entry in entries),
        seconds_left=_seconds_left(entries),
    )


def odd_waits(entries: Sequence[Entry], said: set[str]) -> Iterator[str]:
    """A line for each reason to wait that may never pass, and that is not among those said already."""
    waiting = [entry for entry in entries if entry.phase in IN_WORK and entry.odd_wait]
    alike = Counter(map(_kind_of_wait, waiting))
    for entry in waiting:
        if (kind := _kind_of_wait(entry)) not in said:
            said.add(kind)
            more = f" and {alike[kind] - 1} more" if alike[kind] > 1 else ""
            yield f"waits    {entry.id}{more}: {entry.odd_wait}"


def _kind_of_wait(entry: Entry) -> str:
    """Without the names of nodes that Slurm may add."""
    return entry.odd_wait.partition(",")[0]


def ending(entry: Entry, status: TrialStatus) -> tuple[str, str]:
    """Line and style that say how a trial ended."""
    if status.state is State.DONE:
        score = "" if status.miou is None else f"mIoU {percent(status.miou)} "
        took = "elsewhere" if entry.job is None else f"in {duration(time.monotonic() - entry.started)}"
        return f"done     {entry.id}: {score}{took}", "green"
    if status.state is State.FAILED:
        log = entry.files.attempt(status.attempt or 1).log
        where = f"; log: {log}" if log.exists() else ""
        return f"failed   {entry.id}: {status.cause or 'unknown'}: {status.message}{where}", "red"
    return f"{status.state:<8} {entry.id}" + (f": {status.message}" if status.message else ""), "yellow"


def _life_in_queue(entry: Entry) -> Life:
    """Of a trial that a cluster has, whoever submitted it: today's launch may be a local one."""
    in_queue = entry.goes_on or entry.phase is Phase.ELSEWHERE
    newest = newest_attempt(entry.files) if in_queue else None
    return DEAD if newest is None else life_of(newest)


def _seconds_left(entries: Sequence[Entry]) -> float | None:
    """Steps not yet made, at the speed of the trials that run now, and what trials yet to come take beside.

    None where it is not known: before the first steps, and while none is left to be made.
    """
    running = [entry for entry in entries if entry.phase in IN_WORK]
    rates = [entry.progress.steps_per_second for entry in running if entry.progress.steps_per_second]
    steps = sum(_steps_left(entry) for entry in entries if entry.phase is not Phase.OVER)
    if not rates or steps <= 0:
        return None
    to_come = sum(entry.phase is Phase.WAITING for entry in entries)
    return steps / sum(rates) + to_come * _seconds_beside(entries) / len(running)


def _steps_left(entry: Entry) -> int:
    return max(0, (entry.config.planned_steps or 0) - (entry.progress.step or 0))


def _seconds_beside(entries: Sequence[Entry]) -> float:
    """What a trial of this launch took beside its steps, on average: to start, to be evaluated and saved."""
    beside = [
        entry.took - (entry.config.planned_steps or 0) / rate
        for entry in entries
        if entry.took is not None and (rate := entry.progress.steps_per_second)
    ]
    return max(0.0, fmean(beside)) if beside else 0.0
