"""A sweep's leaderboard files while a launch runs."""

import time
from pathlib import Path

from launcher.leaderboard.collect import Today
from launcher.leaderboard.seen import Seen
from launcher.leaderboard.write import write_leaderboards


class Board:
    """The sweep's leaderboard files during a launch, rewritten after trials have ended.

    Where many trials make that slow, a tenth of the time at most goes into it.
    """

    def __init__(self, folder: Path, today: Today) -> None:
        self._folder = folder
        self._today = today
        self._behind = False
        self._not_before = 0.0

    def keep_up(self, ended: bool) -> None:
        """Rewrite the files where trials have ended since they were written, and it is time."""
        self._behind = self._behind or ended
        if self._behind and time.monotonic() >= self._not_before:
            self.write()

    def write(self, seen: Seen | None = None) -> str | None:
        """Write the files, of what was just seen if it was; why that failed, as on a full disk.

        Derived files shall not end a launch.
        """
        started = time.monotonic()
        try:
            write_leaderboards(self._folder, today=self._today, seen=seen)
        except OSError as error:
            return str(error)
        finally:
            ended = time.monotonic()
            self._behind, self._not_before = False, ended + 9 * (ended - started)
        return None
