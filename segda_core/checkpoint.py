"""Training states on disk: whole or not at all, verified before use, the newest ones kept.

A checkpoint is what `torch.save` writes, which `torch.load` reads as it is, followed by the SHA-256 of those
bytes in 64 hex digits.
"""

import hashlib
import logging
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from segda_core.trials.layout import TrialFiles
from segda_core.trials.trial_history import counted_attempts

KEPT = 2
"""Newest valid checkpoints that stay beside those of `keep_steps`."""

DIGEST_LENGTH = 64

ZIP_START, ZIP_END = b"PK\x03\x04", b"PK\x05\x06"
"""What `torch.save` begins with, and what its last 22 bytes begin with."""

logger = logging.getLogger(__name__)

State = dict[str, Any]


def save(path: Path, state: State) -> None:
    """Write a state: temporary file, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            torch.save(state, stream)
        with temporary.open("r+b") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.write(digest.encode())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> State:
    """Read a state onto the CPU; plain values and tensors only."""
    state: State = torch.load(path, map_location="cpu", weights_only=True)
    return state


def fault(path: Path) -> str | None:
    """Why a checkpoint cannot be used (truncated, altered, foreign), or None where its checksum fits."""
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        return str(error)
    body, stored = content[:-DIGEST_LENGTH], bytes(content[-DIGEST_LENGTH:])
    if hashlib.sha256(body).hexdigest().encode() != stored:
        if _is_foreign(content[: len(ZIP_START)], stored):
            return "no checkpoint of segda; allowed: a file of a trial's checkpoints, as final.pt"
        return "its checksum does not fit: truncated or altered"
    return None


def _is_foreign(start: memoryview, end: bytes) -> bool:
    """Whether a file has neither end of a checkpoint, or is a whole archive without a checksum."""
    if re.fullmatch(rb"[0-9a-f]{64}", end):
        return False
    return not ZIP_START.startswith(start) or end[-22:].startswith(ZIP_END)


def steps_in(folder: Path) -> dict[int, Path]:
    """Resumable checkpoints of one attempt by step, newest first, not yet verified."""
    found = {int(path.stem): path for path in folder.glob("*.pt") if path.stem.isdecimal()}
    return dict(sorted(found.items(), reverse=True))


def newest(trial: TrialFiles, up_to: int, since: int = 1) -> Path | None:
    """The furthest valid checkpoint of the attempts so numbered, not reaching back past a fresh one."""
    candidates: list[tuple[int, int, Path]] = []
    for attempt in counted_attempts(trial, up_to, since):
        candidates += [(step, attempt.number, path) for step, path in steps_in(attempt.checkpoints).items()]
    for _, _, path in sorted(candidates, reverse=True):
        if (problem := fault(path)) is None:
            return path
        logger.warning("%s passed over: %s", path, problem)
    return None


def discard_old(folder: Path, keep_steps: Collection[int]) -> None:
    """Delete all but the newest two valid checkpoints and those of `keep_steps`."""
    valid = 0
    for step, path in steps_in(folder).items():
        if valid < KEPT and fault(path) is None:
            valid += 1
        elif step not in keep_steps:
            path.unlink()
