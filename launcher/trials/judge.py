"""How an attempt ended, judged by its runner from the attempt's files: an exit code says too little."""

import json
import re
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launcher.trials.outcome import BY_CANCEL, BY_SEARCH, Outcome, Status
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

LOG_TAIL = 1 << 16
"""Bytes at the log's end that are searched where no worker wrote down its error."""

ROOT_CAUSE = re.compile(r"Root Cause.*?exitcode\s*:\s*(-?\d+)", re.DOTALL)
"""Exit code of the worker that failed first, in torchrun's closing report."""

RAISED = re.compile(r"^(?:\[rank\d+\]: ?)?([\w.]*(?:Error|Exception|Exit|Interrupt)\b.*)$", re.MULTILINE)
"""Last line of a traceback: what was raised."""

NOT_MET = re.compile(r"(?:[\w.]*\.)?(?:Dist|Rendezvous)\w*Error\b|.*address already in use", re.IGNORECASE)
"""What torchrun's agents raise where nodes do not find each other, or their port was taken meanwhile."""

CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
"""Signals a process gives itself; every other one comes from outside."""


@dataclass(frozen=True)
class Ending:
    """What the runner saw of torchrun's end."""

    returncode: int
    asked_by: str | None = None
    """The signal that was forwarded to end it in order."""
    out_of_patience: bool = False
    """Killed, because it did not leave in time after that."""
    cancelled: bool = False
    stalled_min: float | None = None
    """Minutes without a step, where that is why it was ended."""
    memory_ran_out: bool = False
    """The kernel's out-of-memory killer struck meanwhile."""


def judge(files: TrialFiles, attempt: AttemptFiles, ending: Ending) -> Outcome:
    """How the attempt ended."""
    return replace(_verdict(files, attempt, ending), step=_step(attempt), asked_by=ending.asked_by)


def _verdict(files: TrialFiles, attempt: AttemptFiles, ending: Ending) -> Outcome:
    result = read_json(files.metrics)
    if result is not None and result["attempt"] == attempt.number:
        return Outcome(Status.DONE, "")
    if attempt.superseded.exists() or (result is not None and attempt.metrics.exists()):
        return Outcome(Status.SUPERSEDED, "a newer attempt took over")
    if ending.stalled_min is not None:
        return _failure("timeout", f"no step for {ending.stalled_min:g} min")
    if attempt.stopped.exists():
        return BY_SEARCH
    if ending.cancelled:
        return BY_CANCEL
    return _failure_or_saved(attempt, ending)


def _failure(cause: str, message: str) -> Outcome:
    return Outcome(Status.FAILED, message, cause)


def _failure_or_saved(attempt: AttemptFiles, ending: Ending) -> Outcome:
    first, saved = _first_error(attempt), read_json(attempt.saved)
    if saved is not None and (first is None or saved["time"] <= first["time"]):
        return Outcome(Status.SAVED, f"saved at step {saved['step']}")
    if ending.memory_ran_out:
        return _failure("oom", "the kernel ended a process because memory (RAM) ran out")
    if first is not None and not (first["cause"] == "nccl" and _killed_worker(attempt)):
        return _failure(first["cause"], first["message"])
    if ending.out_of_patience:
        return _failure("killed", f"it did not leave in time after {ending.asked_by}")
    if ending.asked_by is not None:
        return Outcome(Status.SAVED, f"{ending.asked_by} came before there was anything to save")
    return _failure(*_cause_from_log(attempt, ending.returncode))


def _first_error(attempt: AttemptFiles) -> dict[str, Any] | None:
    """The worker that failed first; those that lost their connection to it follow."""
    errors: list[dict[str, Any]] = [
        json.loads(path.read_text()) for path in attempt.error(0).parent.glob("*.json")
    ]
    return min(errors, key=lambda error: float(error["time"]), default=None)


def _killed_worker(attempt: AttemptFiles) -> bool:
    """Whether the first worker to go was killed from outside, so that its peers only lost it."""
    code = _worker_code(_tail(attempt.log))
    return code is not None and code < 0 and -code not in CRASHES


def _cause_from_log(attempt: AttemptFiles, returncode: int) -> tuple[str, str]:
    """Cause and message where no worker had the time to write them down."""
    log = _tail(attempt.log)
    if returncode < 0:
        return "killed", f"torchrun was ended by {_name(-returncode)}"
    code = _worker_code(log)
    if code is not None and (code < 0 or code > 128):
        signum = -code if code < 0 else code - 128
        if signum not in CRASHES:
            return "killed", f"a worker was ended by {_name(signum)}"
        return ("nccl" if "NCCL" in log else "code"), f"a worker crashed with {_name(signum)}"
    if "No space left on device" in log:
        return "disk", "no space left on device"
    raised = [line for line in RAISED.findall(log) if "ChildFailedError" not in line]
    if not raised:
        return "code", f"it ended without a result (exit code {returncode})"
    return ("nccl" if NOT_MET.match(raised[-1]) else "code"), raised[-1]


def _worker_code(log: str) -> int | None:
    found = ROOT_CAUSE.findall(log)
    return int(found[-1]) if found else None


def _name(signum: int) -> str:
    return signal.Signals(signum).name if signum in signal.valid_signals() else f"signal {signum}"


def _tail(path: Path) -> str:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LOG_TAIL))
        return stream.read().decode(errors="replace")


def _step(attempt: AttemptFiles) -> int | None:
    newest = read_json(attempt.saved) or read_json(attempt.heartbeat)
    return None if newest is None else newest["step"]
