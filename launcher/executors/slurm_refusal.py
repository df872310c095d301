"""Why Slurm did not take an array, out of what sbatch says."""

import errno
from enum import Enum, auto

BIG = "Invalid job array specification"
FULL = ("MaxSubmit", "GrpSubmit", "temporarily unable to accept")
SILENT = (
    *("Unable to contact", "Socket timed out", "Connection refused", "Connection timed out", "timed out on"),
    *("Communication connection failure", "Zero Bytes", "Transport endpoint", "in standby mode"),
)
"""What sbatch says where trying again later may help. "job submit limit" is no such word: it is part of the
text for every violated policy, of which some no waiting changes."""

PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)
"""Faults of a file system that may pass: it is full, or does not answer."""


class Refusal(Enum):
    """Why Slurm did not take an array."""

    WRONG = auto()
    """It never will as it is asked for: no such partition, more than a node has …"""
    BIG = auto()
    """More tasks than an array may have there."""
    FULL = auto()
    """More jobs than this user may have in the queue."""
    SILENT = auto()
    """The controller does not answer."""


class SubmissionError(RuntimeError):
    """An array that was not submitted."""

    def __init__(self, message: str, refusal: Refusal | None = None) -> None:
        super().__init__(f"sbatch: {message or 'it ended without a word'}")
        self.said = message
        self.refusal = refusal or _refusal(message)


def _refusal(message: str) -> Refusal:
    if not message or any(text in message for text in SILENT):
        return Refusal.SILENT
    if any(text in message for text in FULL):
        return Refusal.FULL
    return Refusal.BIG if BIG in message else Refusal.WRONG


def reason_of(text: str) -> str:
    """The errors of sbatch on one line, out of submitit's message."""
    lines = [line.partition("sbatch: error: ")[2] for line in text.splitlines()]
    found = list(dict.fromkeys(line for line in lines if line))
    return "; ".join(found) or text.strip()
