"""From an exception to the cause a launcher can act on: errors/RANK.json, free of torch."""

import errno
import time
import traceback

from segda_core.files import write_json
from segda_core.trials.layout import AttemptFiles

CAUSE_BY_TYPE = {
    "OutOfMemoryError": "oom",
    "MemoryError": "oom",
    "FloatingPointError": "nan",
    "DataError": "data",
    "ConfigError": "config",
    "DistError": "nccl",
}
"""Names of exception classes, so that torch's need no import here; the first found in the MRO decides."""

CAUSE_BY_TEXT = {
    "can't allocate memory": "oom",
    "CUDA error: out of memory": "oom",
    "NCCL": "nccl",
    "gloo": "nccl",
    "Gloo": "nccl",
    "is killed by signal": "killed",
    "exited unexpectedly": "killed",
}
"""What torch says in plain RuntimeErrors."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def cause_of(error: BaseException) -> str:
    """One of `causes.MACHINE_CAUSES` and `causes.EXPERIMENT_CAUSES`."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return "disk"
    for kind in type(error).__mro__:
        if kind.__name__ in CAUSE_BY_TYPE:
            return CAUSE_BY_TYPE[kind.__name__]
    if isinstance(error, RuntimeError):
        text = str(error)
        return next((cause for part, cause in CAUSE_BY_TEXT.items() if part in text), "code")
    return "code"


def message_of(error: BaseException) -> str:
    """What went wrong in plain words; of an error in a loader process its own words, not the wrapper's."""
    text = str(error).strip()
    if text.startswith("Caught ") and "Original Traceback" in text:
        text = text.splitlines()[-1].partition(": ")[2]
    if cause_of(error) == "code" or not text:
        return f"{type(error).__name__}: {text}".removesuffix(": ")
    return text


def record_failure(attempt: AttemptFiles, rank: int, error: BaseException) -> None:
    """Write this worker's errors/RANK.json."""
    content = {
        "cause": cause_of(error),
        "message": message_of(error),
        "traceback": "".join(traceback.format_exception(error)),
        "time": time.time(),
    }
    write_json(attempt.error(rank), content)
