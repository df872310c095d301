"""Workers that outlive their runner: told by the kernel to save and leave, and killed if they do not."""

import time

from launcher.processes.process import SAVE_GRACE_S, end_processes, processes_of
from segda_core.trials.layout import AttemptFiles


class Orphans:
    """Those of one attempt on this machine."""

    def __init__(self, attempt: AttemptFiles) -> None:
        self._attempt = attempt
        self._since: float | None = None

    def are_left(self) -> bool:
        """Whether any lives; called again and again after the runner has ended, it kills them in the end."""
        if self._attempt.outcome.exists() or not processes_of(self._attempt.root):
            return False
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > SAVE_GRACE_S:
            end_processes(self._attempt.root, grace=0)
            return False
        return True
