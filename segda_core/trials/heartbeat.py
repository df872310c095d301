"""The sign of life of an attempt, and its fence: a thread of rank 0, from process start, free of torch."""

import logging
import threading
import time

from segda_core.files import write_json
from segda_core.process import StopRequest, Verdict
from segda_core.trials.layout import AttemptFiles, TrialFiles

INTERVAL = 10.0
"""Seconds between two heartbeats."""

logger = logging.getLogger(__name__)


def superseded(trial: TrialFiles, attempt: AttemptFiles) -> bool:
    """Whether a higher attempt exists: this one may write nothing more."""
    numbers = trial.attempt_numbers()
    return bool(numbers) and numbers[-1] > attempt.number


class Heartbeat:
    """Writes heartbeat.json every 10 s; the training loop sets step, steps, images_per_second and phase."""

    def __init__(self, trial: TrialFiles, attempt: AttemptFiles, stop: StopRequest) -> None:
        self.step = 0
        self.steps: int | None = None
        self.images_per_second: float | None = None
        self.phase = "start"
        self.started = time.time()
        self._trial = trial
        self._attempt = attempt
        self._stop = stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Write the first heartbeat, then go on in the background."""
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """Write one heartbeat, or ask to leave where a higher attempt exists."""
        if superseded(self._trial, self._attempt):
            self._stop.ask(Verdict.SUPERSEDED)
            return
        content = {
            "step": self.step,
            "steps": self.steps,
            "images_per_second": self.images_per_second,
            "time": time.time(),
            "phase": self.phase,
        }
        write_json(self._attempt.heartbeat, content)

    def end(self) -> None:
        """Stop the thread, where one was started, after one last heartbeat."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
            self._try_beat()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._try_beat()

    def _try_beat(self) -> None:
        try:
            self.beat()
        except OSError:
            logger.exception("heartbeat could not be written; trying again in %g s", INTERVAL)
