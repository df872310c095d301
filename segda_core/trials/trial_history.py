"""A trial's history: the rows of its attempts, joined to those of one run without interruption.

Each attempt writes its own history.jsonl. Of it counts what stands up to the step at which the next
attempt began, since the newest attempt that started afresh: later rows tell of steps that were made again.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

BLOCK = 1 << 16
"""Bytes read at a time, from the end of the file: who looks for the newest rows seldom needs more."""

Row = dict[str, Any]
"""A line of history.jsonl, and under `attempt` the number of the attempt that wrote it."""


def trial_history(trial: TrialFiles) -> list[Row]:
    """Every row that counts, in the order of the steps."""
    return list(newest_rows(trial))[::-1]


def newest_rows(trial: TrialFiles, key: str = "step") -> Iterator[Row]:
    """The rows that count and hold `key`, the newest first; no more is read than is asked for."""
    return rows_of(counted_parts(trial, trial.attempt_numbers()), key)


Part = tuple[AttemptFiles, float]
"""An attempt, and the step up to which its history counts."""


def counted_parts(trial: TrialFiles, numbers: Sequence[int]) -> list[Part]:
    """Those of some attempts (ascending) whose history counts, newest first."""
    parts: list[Part] = []
    until = math.inf
    for number in reversed(numbers):
        attempt = trial.attempt(number)
        parts.append((attempt, until))
        if number == numbers[0] or is_fresh(attempt):
            break
        until = min(until, _first_step(attempt))
    return parts


def rows_of(parts: Sequence[Part], key: str = "step") -> Iterator[Row]:
    """`newest_rows` of such attempts, for who asks for several keys."""
    for attempt, until in parts:
        number = attempt.number
        rows = _rows_backwards(attempt.history, key)
        yield from ({**row, "attempt": number} for row in rows if row["step"] <= until)


def counted_attempts(trial: TrialFiles, up_to: int, since: int = 1) -> list[AttemptFiles]:
    """The attempts so numbered whose work counts, newest first: none from before the newest fresh one."""
    attempts = []
    for number in reversed([number for number in trial.attempt_numbers() if since <= number <= up_to]):
        attempts.append(trial.attempt(number))
        if is_fresh(attempts[-1]):
            break
    return attempts


def is_fresh(attempt: AttemptFiles) -> bool:
    """Whether the attempt starts anew: nothing of an earlier one counts."""
    submission = read_json(attempt.submission)
    return submission is not None and bool(submission.get("fresh", False))


def _first_step(attempt: AttemptFiles) -> float:
    """Steps the attempt began with; infinite where it ended before it began, so that it cuts nothing off."""
    environment = read_json(attempt.environment)
    return math.inf if environment is None else environment["first_step"]


def _rows_backwards(history: Path, key: str) -> Iterator[Row]:
    quoted = json.dumps(key).encode()
    try:
        stream = history.open("rb")
    except FileNotFoundError:
        return
    with stream:
        lines = _split_backwards(stream)
        next(lines)  # what follows the last line break is being written, or its writer was killed
        for line in lines:
            if quoted in line and key in (row := json.loads(line)):
                yield row


def _split_backwards(stream: BinaryIO) -> Iterator[bytes]:
    """What stands between line breaks, from the end of the file to its beginning."""
    end = stream.seek(0, os.SEEK_END)
    rest = b""
    while end:
        start = max(0, end - BLOCK)
        stream.seek(start)
        rest, *whole = (stream.read(end - start) + rest).split(b"\n")
        yield from reversed(whole)
        end = start
    yield rest
