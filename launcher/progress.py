"""How far a running attempt is, from what its rank 0 writes: heartbeat.json and the end of history.jsonl."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segda_core.layout import AttemptFiles, read_json

HISTORY_TAIL = 1 << 16
"""Bytes at the end of history.jsonl that are read."""


@dataclass(frozen=True)
class Progress:
    """One attempt as it stands; None where it has not said yet."""

    phase: str = "start"
    step: int | None = None
    steps: int | None = None
    images_per_second: float | None = None
    miou: float | None = None
    """Of the newest evaluation, as a fraction."""
    steps_per_second: float | None = None
    time: float | None = None
    """Unix time of the heartbeat."""

    @property
    def seconds_left(self) -> float | None:
        """Time to the last step at the present speed."""
        if self.step is None or self.steps is None or not self.steps_per_second:
            return None
        return (self.steps - self.step) / self.steps_per_second


def read_progress(attempt: AttemptFiles) -> Progress:
    """Progress of one attempt, whether it still runs or not."""
    heartbeat = read_json(attempt.heartbeat)
    if heartbeat is None:
        return Progress()
    rows = list(_newest_rows(attempt.history))
    trained = [row for row in rows if "losses" in row]
    return Progress(
        phase="train" if trained and heartbeat["phase"] == "start" else heartbeat["phase"],
        step=max(heartbeat["step"], trained[0]["step"] if trained else 0),
        steps=heartbeat["steps"],
        images_per_second=heartbeat["images_per_second"],
        miou=next((row["miou"] for row in rows if "miou" in row), None),
        steps_per_second=_rate(trained),
        time=heartbeat["time"],
    )


def _rate(rows: list[dict[str, Any]]) -> float | None:
    """Steps per second over rows that come newest first."""
    if len(rows) < 2 or rows[0]["time"] <= rows[-1]["time"]:
        return None
    return float((rows[0]["step"] - rows[-1]["step"]) / (rows[0]["time"] - rows[-1]["time"]))


def _newest_rows(history: Path) -> Iterator[dict[str, Any]]:
    """Whole rows of the file's end, the newest first."""
    try:
        with history.open("rb") as stream:
            start = max(0, history.stat().st_size - HISTORY_TAIL)
            stream.seek(start)
            lines = stream.read().split(b"\n")
    except FileNotFoundError:
        return
    whole = lines[1 if start else 0 : -1]  # what follows the last line break is being written
    yield from (json.loads(line) for line in reversed(whole) if line)
