"""Faults at random moments: when they strike, and kill -9 of the processes of a trial and of its launcher."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from small_sweep import kill, wait_until

from faults.victim import Victim, process_of
from segda_core.files import read_json

STARTING_SHARE = 0.25
"""Share of the faults that come while the attempt starts, before its first step."""

STARTING_S = 6.0
"""Seconds after the runner's start up to which those come."""


@dataclass(frozen=True)
class Moment:
    """A moment of a trial's first attempt."""

    step: int
    """0: while it starts."""
    seconds: float
    """Since its runner started, for step 0."""

    @classmethod
    def draw(cls, chance: random.Random, steps: int) -> "Moment":
        starting = chance.random() < STARTING_SHARE
        return cls(0 if starting else chance.randint(1, steps), chance.uniform(0, STARTING_S))

    def has_come(self, victim: Victim) -> bool:
        """Also where the trial is done already."""
        if victim.files.metrics.exists():
            return True
        if self.step:
            history = victim.attempt.history
            return history.exists() and history.read_bytes().count(b"\n") >= self.step
        runner = read_json(victim.attempt.runner(0))
        return runner is not None and time.time() - runner["time"] >= self.seconds


@dataclass(frozen=True)
class Strike:
    """One fault to come."""

    fault: str
    victim: Victim
    moment: Moment
    act: Callable[[], bool]
    """Makes it, where there is something to make it to; whether there was."""


def make_all(strikes: Sequence[Strike]) -> list[Strike]:
    """Make each at its moment; those that found the trial unfinished."""
    left, made = list(strikes), []

    def none_left() -> bool:
        for strike in [strike for strike in left if strike.moment.has_come(strike.victim)]:
            if strike.victim.files.metrics.exists():
                left.remove(strike)
            elif strike.act():
                left.remove(strike)
                made.append(strike)
        return not left

    wait_until(none_left)
    return made


def kill_one(victim: Victim, role: str) -> bool:
    """kill -9 of a process of the attempt, as soon as there is one."""
    return any(kill(pid) for pid in victim.processes(role)[:1])


def kill_driver(launcher: int) -> bool:
    """kill -9 of the process that drives Ray."""
    pid = process_of(launcher, "ray_driver")
    return pid is not None and kill(pid)


def hold(victim: Victim) -> bool:
    """Stop it, for a fault of its scheduler to come; as soon as there is something to stop."""
    victim.hold()
    return bool(victim.held)
