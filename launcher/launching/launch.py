"""The launch loop: keeps the executor full, retries what the machine broke, waits for what runs elsewhere.

All it knows about a trial it reads from the trial's directory, so that another launcher, a kill or a second
call at any moment changes nothing but who does the work.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from launcher.executors.base import Executor
from launcher.expand.executor_config import SlurmConfig
from launcher.launching.claim import claim
from launcher.launching.dependencies import Dependencies
from launcher.launching.entry import Entry, Phase
from launcher.launching.launch_view import look, odd_waits
from launcher.launching.live import View
from launcher.launching.placement import executors_of
from launcher.launching.settle import settle
from launcher.processes.stop_signals import StopSignals
from launcher.slurm.cancel import release_held
from launcher.status import read_status
from launcher.trials.progress import Progress
from launcher.trials.states import State, TrialStatus
from launcher.trials.waiting import newest_attempt
from launcher.words import several
from segda_core.trials.layout import AttemptFiles
from segda_core.trials.parents import read_parents

POLL_S = 0.25
LOOK_S = 1.0
"""Seconds between looks at the files of attempts that run."""

CLAIM_PATIENCE_S = 60.0
"""Seconds that a launch which will not wait gives another one between claiming and submitting."""

NO_ROOM = {
    False: "other launches of yours hold the GPUs or cores",
    True: "the cluster takes no more jobs of yours at present",
}
"""Why nothing can be started, by whether jobs outlive their launcher."""

NO_JOB = "they wait for trials of which no job was found in the queue"
"""Why a trial cannot be submitted that is to start after others."""


class Launch:
    """One launch of some trials, in their order, to the end of the last."""

    def __init__(self, entries: Sequence[Entry], view: View, waits: bool = True) -> None:
        self._entries = list(entries)
        self._executors = executors_of(entry.place for entry in entries)
        self._view = view
        self._dependencies = Dependencies(entries, view)
        self._waits = waits or not all(executor.outlives_launcher for executor in self._executors)
        self._stops = StopSignals()
        self._answered = 0
        self._next_look = 0.0
        self._said_no_room = False
        self._odd_waits: set[str] = set()
        self._has_ended = False
        """Whether a trial has, of which `meanwhile` was not told."""

    def run(self, meanwhile: Callable[[bool], None]) -> bool:
        """Run until no trial is left to run; whether it got that far without being interrupted.

        A launch that need not wait for its jobs, and was not asked to, ends when they are submitted.
        `meanwhile` is called several times a second, with whether a trial has ended since the last call.
        """
        with self._stops.heard():
            while self._work_left() or self._has_ended:
                for entry in self._entries:
                    self._advance(entry)
                ended, self._has_ended = self._has_ended, False
                meanwhile(ended)
                self._answer_interrupts()
                if not self._stops.count:
                    self._start_waiting()
                if not self._waits:
                    self._submit_children()
                    self._leave()
                    break
                self._show()
                time.sleep(POLL_S)
        return not self._stops.count

    def add(self, entry: Entry) -> None:
        """One more trial to run, after the others."""
        self._entries.append(entry)
        self._dependencies.add(entry)
        self._executors = executors_of(each.place for each in self._entries)
        self._waits = self._waits or not entry.goes_on

    @property
    def is_stopping(self) -> bool:
        """Whether the user asked it to stop."""
        return self._stops.count > 0

    def unfinished(self) -> int:
        """Trials that are not over yet."""
        return sum(entry.phase is not Phase.OVER for entry in self._entries)

    def _work_left(self) -> bool:
        if self._stops.count:
            return any(entry.phase is Phase.RUNNING and not entry.goes_on for entry in self._entries)
        return any(entry.phase is not Phase.OVER for entry in self._entries)

    def _answer_interrupts(self) -> None:
        """The first interrupt lets every attempt save, the second kills them; jobs of a cluster go on."""
        interrupts = self._stops.count
        if interrupts == self._answered:
            return
        running = [entry for entry in self._entries if entry.phase is Phase.RUNNING]
        if interrupts == 1 and any(entry.goes_on for entry in running):
            self._view.say("not waiting any more: the jobs go on", "yellow")
        jobs = [entry.job for entry in running if entry.job and not entry.goes_on]
        if interrupts == 1 and jobs:
            self._view.say(f"stopping: {len(jobs)} running trials save; once more to kill them", "yellow")
            for job in jobs:
                job.terminate()
        else:
            for job in jobs:
                job.kill()
        self._answered = interrupts

    def _advance(self, entry: Entry) -> None:
        """Move a trial on where its attempt has ended."""
        if entry.phase is Phase.RUNNING:
            assert entry.job is not None
            if entry.job.has_ended():
                self._settle(entry, read_status(entry.files))
        elif entry.phase is Phase.ELSEWHERE and time.monotonic() >= self._next_look:
            self._settle(entry, read_status(entry.files))

    def _settle(self, entry: Entry, status: TrialStatus) -> None:
        """Decide what the trial of an attempt that has ended does next."""
        if settle(entry, status, self._view, stopping=self.is_stopping):
            self._has_ended = True

    def _start_waiting(self) -> bool:
        """Start waiting trials, in order, while their executors have room; whether all that could were."""
        now = time.monotonic()
        waiting = [
            entry for entry in self._entries if entry.phase is Phase.WAITING and entry.not_before <= now
        ]
        due = [entry for entry in waiting if self._dependencies.may_start(entry, self._waits)]
        full: list[Executor] = []
        for entry in due:
            if self.is_stopping:
                break
            if entry.place.executor not in full and not self._start(entry):
                self._say_why_nothing_runs(entry)
                full.append(entry.place.executor)
        for executor in self._executors:
            executor.flush()
        return bool(due) and not full

    def _submit_children(self) -> None:
        """Generation after generation: a job can follow one that is in the queue.

        What another launcher has just claimed, a canary perhaps, will be there in a moment.
        """
        deadline = time.monotonic() + CLAIM_PATIENCE_S
        while not self._stops.count:
            too_early = self._dependencies.others_submit(self._entries)
            if not self._start_waiting():
                if not too_early or time.monotonic() > deadline:
                    return
                time.sleep(LOOK_S)

    def _say_why_nothing_runs(self, entry: Entry) -> None:
        """On a cluster each trial says so itself; here only where none of ours runs either."""
        if not self._said_no_room and not any(other.phase is Phase.RUNNING for other in self._entries):
            self._said_no_room = True
            self._view.say(f"waiting for room: {NO_ROOM[entry.goes_on]}", "yellow")

    def _start(self, entry: Entry) -> bool:
        """Claim and submit one trial, unless somebody else does; False where there is no room."""
        if self._released(entry):
            return True
        room = entry.place.executor.reserve(entry.config, entry.after)
        if room is None:
            return False
        if self.is_stopping:  # Ray may have taken a while to start
            room.release()
            return True
        try:
            attempt = self._claim(entry)
            job = None if attempt is None else room.start(attempt)
        except (OSError, ValueError) as error:  # a full disk, a folder deleted by hand; a broken file
            room.release()
            newest = entry.files.newest_number
            cause = "disk" if isinstance(error, OSError) else "data"
            status = TrialStatus(entry.id, State.FAILED, cause, str(error), newest)
            self._settle(entry, status)
            return True
        if attempt is None or job is None:
            room.release()
            self._settle(entry, read_status(entry.files))
            return True
        entry.job = job
        entry.phase, entry.started, entry.progress = Phase.RUNNING, time.monotonic(), Progress()
        again = f" (attempt {attempt.number})" if attempt.number > 1 else ""
        word = "queued   " if entry.goes_on else "started  "
        self._view.say(f"{word}{entry.id}{again}")
        return True

    def _released(self, entry: Entry) -> bool:
        """Whether a trial has a job that Slurm held and now tries again.

        Another in its place would have those start that wait for it, and no launch stays to start them again.
        One that is to begin anew, after other jobs or in another partition needs another job all the same.
        """
        config = entry.place.config
        if self._waits or entry.submission.fresh or entry.after or not isinstance(config, SlurmConfig):
            return False
        newest = newest_attempt(entry.files)
        if newest is None or not release_held(newest, config.partition):
            return False
        entry.phase = Phase.ELSEWHERE
        self._view.say(f"released {entry.id}: Slurm held its job, which it could not start")
        return True

    def _leave(self) -> None:
        """Go, with jobs submitted that need no launcher; what could not be submitted says why.

        What Slurm refused is over by now, and who waits for it waits in vain.
        """
        for entry in self._entries:
            self._advance(entry)
        waiting = [entry for entry in self._entries if entry.phase is Phase.WAITING]
        could = [self._dependencies.may_start(entry, self._waits) for entry in waiting]
        why = [
            NO_ROOM[True] if may else NO_JOB
            for entry, may in zip(waiting, could, strict=True)
            if entry.phase is Phase.WAITING
        ]
        for reason, count in Counter(why).items():
            advice = "--wait, or the same command later, submits them"
            self._view.say(f"{several(count, 'trial')} not submitted: {reason}; {advice}", "yellow")

    def _claim(self, entry: Entry) -> AttemptFiles | None:
        """The trial's next attempt; None where it was cancelled, or somebody made one since we decided."""
        newest = entry.files.newest_number
        if entry.files.cancel.exists() or newest != entry.seen:
            return None
        parents = {parent.role: parent.record() for parent in read_parents(entry.files)}
        read = {role: record for role, record in parents.items() if record is not None}
        return claim(entry.files, replace(entry.submission, parents=read), entry.config)

    def _show(self) -> None:
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_S
            self._view.show(look(self._entries))
            for line in odd_waits(self._entries, self._odd_waits):
                self._view.say(line, "yellow")
