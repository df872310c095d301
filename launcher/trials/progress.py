"""How far a trial is, from what the rank 0 of its attempts write: heartbeat.json and the trial's history."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from segda_core.files import BROKEN, read_json
from segda_core.trials.layout import TrialFiles
from segda_core.trials.trial_history import Part, Row, counted_parts, rows_of

RATE_ROWS = 100
"""Newest rows of the running attempt over which the speed is taken."""

UNREADABLE = (*BROKEN, PermissionError)
"""What reading a trial's files raises where one of them is broken."""


@dataclass(frozen=True)
class Progress:
    """One trial as it stands; None where nothing is known yet."""

    phase: str = "start"
    """Of the newest attempt."""
    step: int | None = None
    steps: int | None = None
    images_per_second: float | None = None
    miou: float | None = None
    """Of the trial's newest evaluation, whichever attempt made it, as a fraction."""
    steps_per_second: float | None = None
    time: float | None = None
    """Unix time of the newest attempt's heartbeat."""

    @property
    def seconds_left(self) -> float | None:
        """Time to the last step at the present speed; None where that is not known, or the step is made."""
        if self.step is None or self.steps is None or not self.steps_per_second or self.step >= self.steps:
            return None
        return (self.steps - self.step) / self.steps_per_second


def read_progress(files: TrialFiles) -> Progress:
    """Progress of a trial, whether an attempt of it runs or not."""
    numbers = files.attempt_numbers()
    if not numbers:
        return Progress()
    heartbeat = read_json(files.attempt(numbers[-1]).heartbeat)
    parts = counted_parts(files, numbers)
    trained = _trained(parts)
    phase = "start" if heartbeat is None else heartbeat["phase"]
    return Progress(
        phase="train" if trained and phase == "start" else phase,
        step=_step(parts, heartbeat),
        steps=_steps(files, numbers, heartbeat),
        images_per_second=heartbeat and heartbeat["images_per_second"],
        miou=next((row["miou"] for row in rows_of(parts, "miou")), None),
        steps_per_second=_rate(trained),
        time=heartbeat and heartbeat["time"],
    )


def _trained(parts: Sequence[Part]) -> list[Row]:
    """The newest training rows of the newest attempt, the newest first."""
    return list(islice(rows_of(parts[:1], "losses"), RATE_ROWS))


def _step(parts: Sequence[Part], heartbeat: dict[str, Any] | None) -> int | None:
    """Steps made; while the newest attempt has not begun, those that the one before it made."""
    row = next(rows_of(parts), None)
    return max((said["step"] for said in (heartbeat, row) if said is not None), default=None)


def _steps(files: TrialFiles, numbers: list[int], heartbeat: dict[str, Any] | None) -> int | None:
    """Steps planned, by the newest attempt that says: one that waits in a queue does not.

    `heartbeat` is the newest attempt's.
    """
    earlier = (read_json(files.attempt(number).heartbeat) for number in reversed(numbers[:-1]))
    for said in chain([heartbeat], earlier):
        if said is not None and said["steps"] is not None:
            return int(said["steps"])
    return None


def _rate(rows: Sequence[Row]) -> float | None:
    """Steps per second over rows that come newest first."""
    if len(rows) < 2 or rows[0]["time"] <= rows[-1]["time"]:
        return None
    return float((rows[0]["step"] - rows[-1]["step"]) / (rows[0]["time"] - rows[-1]["time"]))
