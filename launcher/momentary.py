"""Faults of a network file system that pass: what one look could not read, the next one can."""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager

MOMENTARY = frozenset({errno.ESTALE, errno.EIO, errno.ETIMEDOUT})
"""What says nothing of the file that was asked for. ESTALE: it was replaced on another machine, as every file
of ours is by renaming, between being opened and being read, or its server was started anew. EIO, ETIMEDOUT:
the server did not answer in time, by a mount that gives up. All others (no such file, no permission, no
space left …) are answers, and stay so."""

PATIENCE_S = 120.0
"""Seconds after which a fault that has not passed counts: EIO is also what a broken disk says."""


class Patience:
    """Which faults are to be passed over for now, by what was looked at."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def covers(self, what: str, error: Exception) -> bool:
        """Whether to look again later instead of giving up."""
        if not isinstance(error, OSError) or error.errno not in MOMENTARY:
            return False
        now = time.monotonic()
        return now - self._since.setdefault(what, now) < PATIENCE_S

    def end(self, what: str) -> None:
        """A look that went well: the next fault is a new one."""
        self._since.pop(what, None)

    @contextmanager
    def look(self, what: str) -> Iterator[None]:
        """Leave the block without an error where such a fault comes up; the caller looks again later."""
        try:
            yield
        except OSError as error:
            if not self.covers(what, error):
                raise
        else:
            self.end(what)
