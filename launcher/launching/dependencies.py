"""Which trials of a launch may start, by how their parents stand; one that would wait in vain is over."""

import time
from collections.abc import Iterable

from launcher.launching.entry import Entry, Phase
from launcher.launching.live import View
from launcher.slurm.queue import jobs_of
from launcher.trials.life import is_alive
from launcher.trials.waiting import find_waits, is_being_submitted, newest_attempt
from segda_core.trials.layout import TrialFiles

KEEP_S = 1.0
"""Seconds for which a parent that another launcher submits is not looked at again."""


class Dependencies:
    """What the trials of one launch wait for, in it and elsewhere."""

    def __init__(self, entries: Iterable[Entry], view: View) -> None:
        self._by_id = {entry.id: entry for entry in entries}
        self._view = view
        self._submitted_elsewhere: dict[TrialFiles, float] = {}
        """When a parent was last seen on its way into the queue."""

    def add(self, entry: Entry) -> None:
        """One more trial."""
        self._by_id[entry.id] = entry

    def may_start(self, entry: Entry, stays: bool) -> bool:
        """Whether a trial need not wait for parents here; where it would wait in vain, it is over.

        Where the launch does not stay, its job may follow those of its parents.
        """
        entry.after = ()
        waits = find_waits(entry.parents, self._is_ours)
        if not waits:
            entry.parents = ()
            return True
        if vain := next((wait for wait in waits if wait.in_vain), None):
            entry.phase = Phase.OVER
            self._view.say(f"left     {entry.id}: waits for {vain.parent.root.name}: {vain.in_vain}", "red")
        elif not stays:
            return self._follow(entry, [wait.parent for wait in waits])
        return False

    def others_submit(self, entries: Iterable[Entry]) -> bool:
        """Whether a parent of a waiting trial is about to get its job from another launcher."""
        waiting = [entry for entry in entries if entry.phase is Phase.WAITING]
        parents = dict.fromkeys(parent for entry in waiting for parent in entry.parents)
        return any(map(self._another_submits, parents))

    def _follow(self, entry: Entry, parents: Iterable[TrialFiles]) -> bool:
        """Have its job start after those of its parents; False where one cannot be told."""
        if any(map(self._another_submits, parents)):
            return False
        newest = [newest_attempt(parent) for parent in parents]
        alive = [attempt for attempt in newest if attempt is not None and is_alive(attempt)]
        jobs = jobs_of(alive) if len(alive) == len(newest) else None
        entry.after = jobs or ()
        return jobs is not None

    def _another_submits(self, parent: TrialFiles) -> bool:
        """Perhaps `KEEP_S` ago: thousands of trials may wait for one canary."""
        ours = self._by_id.get(parent.root.name)
        if ours is not None and ours.phase is Phase.RUNNING:
            return False
        seen = self._submitted_elsewhere.get(parent)
        if seen is not None and time.monotonic() - seen < KEEP_S:
            return True
        if is_being_submitted(parent):
            self._submitted_elsewhere[parent] = time.monotonic()
            return True
        return False

    def _is_ours(self, trial_id: str) -> bool:
        """Whether this launch is not through with a trial."""
        return trial_id in self._by_id and self._by_id[trial_id].phase is not Phase.OVER
