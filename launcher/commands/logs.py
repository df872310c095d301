"""`segda logs`: what a trial's runner and workers print."""

import time
from collections.abc import Iterator

from launcher.slurm.job_log import job_log
from launcher.trials.life import is_alive
from segda_core.errors import ConfigError
from segda_core.trials.layout import AttemptFiles, TrialFiles

POLL_S = 0.5


def find_attempt(files: TrialFiles, number: int | None) -> AttemptFiles:
    """That attempt of a trial, the newest without a number."""
    numbers = files.attempt_numbers()
    if not numbers:
        raise ConfigError([f"{files.root} has not run yet: it has no log"])
    if number is not None and number not in numbers:
        there = ", ".join(map(str, numbers))
        raise ConfigError([f"{files.root} has no attempt {number}; it has: {there}"])
    return files.attempt(number or numbers[-1])


def read_log(attempt: AttemptFiles, follow: bool) -> Iterator[str]:
    """The log's text in pieces; with `follow` until the attempt has ended.

    Where it ended before it had one, what its job printed; `ConfigError` where there is nothing.
    """
    while not attempt.log.exists():
        if not (follow and is_alive(attempt)):
            yield _without_log(attempt)
            return
        time.sleep(POLL_S)
    with attempt.log.open(errors="replace") as log:
        while True:
            running = follow and is_alive(attempt)  # asked first: what it wrote before its end is read after
            while text := log.read(1 << 16):
                yield text
            if not running:
                return
            time.sleep(POLL_S)


def _without_log(attempt: AttemptFiles) -> str:
    log = job_log(attempt)
    if log is None or not (text := log.read_text(errors="replace")):
        raise ConfigError([f"{attempt.root} has no log yet: nothing of it has started"])
    return text
