"""What an attempt reports while it trains: history.jsonl and TensorBoard scalars, written by rank 0."""

import json
import time
from types import TracebackType
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from segda_core.trials.layout import AttemptFiles

TENSORBOARD_FLUSH = 30
"""Seconds until scalars reach the file."""


class History:
    """Appends rows; every row is on disk when the call returns."""

    def __init__(self, attempt: AttemptFiles) -> None:
        self._rows = attempt.history.open("a", buffering=1)
        self._events = EventFileWriter(str(attempt.tensorboard), flush_secs=TENSORBOARD_FLUSH)

    def __enter__(self) -> "History":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()
        self._events.close()

    def training(
        self, step: int, losses: dict[str, float], rates: dict[str, float], speed: tuple[float, float]
    ) -> None:
        """A row after `step` finished steps; `speed` is images per second and the share of waiting."""
        images_per_second, data_wait = speed
        row = {
            "step": step,
            "losses": losses,
            "learning_rates": rates,
            "images_per_second": round(images_per_second, 3),
            "data_wait": round(data_wait, 4),
        }
        self._append(row)

    def evaluation(self, step: int, miou: float, quality: dict[str, float | None] | None = None) -> None:
        """A row of an evaluation after `step` finished steps, with label-free metrics where measured."""
        row: dict[str, Any] = {"step": step, "miou": miou}
        self._append(row if quality is None else {**row, "quality": quality})

    def _append(self, row: dict[str, Any]) -> None:
        now = time.time()
        self._rows.write(json.dumps({**row, "time": now}, allow_nan=False) + "\n")
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(row).items()]
        self._events.add_event(Event(wall_time=now, step=row["step"], summary=Summary(value=values)))


def scalars(row: dict[str, Any]) -> dict[str, float]:
    """TensorBoard tags of a row: `losses/NAME`, `learning_rates/NAME`, plain numbers by their names."""
    flat: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{key}/{name}": number for name, number in value.items() if number is not None}
        elif key != "step":
            flat[key] = value
    return flat
