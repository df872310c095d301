"""`segda sweep`: from a sweep's name to trained trials, the leaderboard and an exit code."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from launcher.canary import STEPS, add_canaries, kinds
from launcher.cancel import uncancel
from launcher.claim import Submission
from launcher.code import current_commit
from launcher.decide import Action, Decision, Requests, decide_all, parse_rerun, parse_retry
from launcher.dry_run import DryRun, plan_dry_run
from launcher.executors.base import Surroundings
from launcher.launch import ALIVE, Entry, Launch, Phase
from launcher.leaderboard import Today, show, write_leaderboards
from launcher.live import duration, make_view
from launcher.manifest import Manifest, problems, read_manifests
from launcher.placement import Place, Places, executors_of, open_places, previews
from launcher.plan import read_plan, write_plan
from launcher.prepare import prepare
from launcher.selection import select
from launcher.snapshot import take_snapshot
from launcher.states import State, TrialStatus
from launcher.status import read_status
from launcher.status_view import in_words
from launcher.sweep import Expansion, Sweep, expand
from launcher.trial import Trial
from launcher.waiting import has_begun
from segda_core.errors import DataError
from segda_core.layout import TrialFiles

WAITS_SHOWN = 10
"""Trials named one by one among those that wait for their parents."""

DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes of `segda sweep`; 2 is wrong usage or configuration."""


@dataclass(frozen=True)
class Survey:
    """A sweep's chosen trials as they stand, and what a launch would do with each."""

    sweep: Sweep
    expansion: Expansion
    trials: list[Trial]
    runs: Path
    manifests: dict[str, Manifest]
    """Trial id -> its images."""
    commit: str | None
    requests: Requests
    statuses: dict[str, TrialStatus]
    decisions: dict[str, Decision]

    def chosen(self, *actions: Action) -> list[Trial]:
        """Trials whose decision is one of these, in order."""
        return [trial for trial in self.trials if self.decisions[trial.id].action in actions]

    @property
    def beginning(self) -> list[Trial]:
        """Trials to run that nobody has begun."""
        chosen = self.chosen(Action.RUN)
        return [trial for trial in chosen if not has_begun(trial.files(self.runs))]

    def read_statuses(self) -> list[TrialStatus]:
        """How the trials stand now."""
        return [self.read_status(trial) for trial in self.trials]

    def read_status(self, trial: Trial) -> TrialStatus:
        """How one trial stands now."""
        return read_status(trial.files(self.runs), self.manifests[trial.id].hash or None, self.commit)

    def surroundings(self, code: Path | None = None, wait: bool = True) -> Surroundings:
        """What executors are told; their jobs run `code`."""
        return Surroundings(self.runs / self.sweep.name, code, wait)

    @property
    def today(self) -> Today:
        """What the leaderboard compares results with."""
        return Today({key: manifest.hash for key, manifest in self.manifests.items()}, self.commit)


def survey(
    sweep: Sweep,
    runs: Path,
    only: Sequence[str],
    retry: str | None,
    rerun: Sequence[str],
    absent_classes: bool = False,
) -> Survey:
    """Read everything a launch depends on; changes nothing. `absent_classes` looks into label images."""
    expansion = expand(sweep)
    trials = select(expansion.trials, only)
    requests = parse_rerun(rerun, [trial.id for trial in trials]) if rerun else Requests()
    requests = requests if retry is None else replace(requests, retry=parse_retry(retry))
    manifests = read_manifests(trials, absent_classes)
    surveyed = Survey(sweep, expansion, trials, runs, manifests, current_commit(), requests, {}, {})
    statuses = {trial.id: surveyed.read_status(trial) for trial in trials}
    folder, parents = runs / sweep.name, {parent for trial in trials for parent in trial.parents.values()}
    others = {parent: read_status(TrialFiles(folder / parent)) for parent in parents - statuses.keys()}
    decisions = decide_all(trials, {**others, **statuses}, requests)
    return replace(surveyed, statuses=statuses, decisions=decisions)


def make_images(surveyed: Survey) -> bool:
    """Draw the profiles' images where they are missing and segda can; whether it did."""
    made = {stage.profile.make: stage.profile_file for stage in surveyed.sweep.stages if stage.profile.make}
    if not made or not problems(surveyed.manifests.values()):
        return False
    for maker, file in made.items():
        if subprocess.run([sys.executable, "-m", "segda_core.data", "make", maker], check=False).returncode:
            raise DataError(f"{file}: make: the images of {maker} could not be made")
    return True


def dry_run(surveyed: Survey, canary: bool = True) -> DryRun:
    """What a launch would do; `ConfigError` where its executor can never run one of the trials."""
    images = surveyed.manifests
    look = {trial.id: (surveyed.statuses[trial.id], images[trial.id]) for trial in surveyed.trials}
    run = surveyed.chosen(Action.RUN)
    with open_places(surveyed.sweep.stages, run, surveyed.surroundings()) as places:
        planned = plan_dry_run(
            surveyed.sweep,
            surveyed.expansion,
            look,
            surveyed.decisions,
            surveyed.runs,
            {trial.id: places[trial.stage].executor.at_once(trial.config) for trial in run},
        )
        first = len(kinds(surveyed.beginning, places)) if canary else 0
        notes = (
            [f"{first} trials of {STEPS} steps go first, one of each kind (--no-canary: none)"]
            if first
            else []
        )
        return replace(planned, scripts=previews(run, places), notes=[*planned.notes, *notes])


def run_sweep(surveyed: Survey, console: Console, wait: bool = True, canary: bool = True) -> int:
    """Run what is to run, print the leaderboard, and return the exit code.

    Without `wait`, jobs that need no launcher are only submitted. With `canary`, a short trial of each kind
    goes first on a cluster.
    `DataError` where images cannot be used: then nothing is started.
    """
    if found := problems(surveyed.manifests.values()):
        raise DataError("\n".join(found))
    started = time.monotonic()
    board = Board(surveyed.runs / surveyed.sweep.name, surveyed.today)
    chosen = surveyed.chosen(Action.RUN, Action.WAIT)
    code = take_snapshot(surveyed.runs) if chosen else None
    with open_places(surveyed.sweep.stages, chosen, surveyed.surroundings(code, wait)) as places:
        entries = _prepare(surveyed, code, places)
        _announce(surveyed, console)
        if canary:
            entries = add_canaries(entries, kinds(surveyed.beginning, places), surveyed.runs)
        finished = not entries or _launch(entries, console, board, wait)
    statuses = surveyed.read_statuses()
    if fault := board.write():
        _say(console, f"the leaderboard's files are not written: {fault}", "red")
    took = duration(time.monotonic() - started)
    _say(console, f"{surveyed.sweep.name}: {in_words(statuses)} in {took}", "bold")
    goes_on = any(executor.outlives_launcher for executor in executors_of(places.values()))
    if goes_on and any(status.state in ALIVE for status in statuses):
        return _part(surveyed, statuses, finished, console)
    return _close(surveyed, statuses, finished, console)


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

    def write(self) -> str | None:
        """Write the files; why that failed, as on a full disk: derived files shall not end a launch."""
        started = time.monotonic()
        try:
            write_leaderboards(self._folder, today=self._today)
        except OSError as error:
            return str(error)
        finally:
            ended = time.monotonic()
            self._behind, self._not_before = False, ended + 9 * (ended - started)
        return None


def _prepare(surveyed: Survey, code: Path | None, places: Places) -> list[Entry]:
    """Write the plan and the trials' directories, and line the trials up."""
    write_plan(surveyed.runs, surveyed.sweep, surveyed.expansion)
    for trial in surveyed.chosen(Action.SKIP):
        if surveyed.decisions[trial.id].parents:
            prepare(trial, surveyed.runs)  # so that its directory says what it waits for
    chosen = surveyed.chosen(Action.RUN, Action.WAIT)
    return [_entry(surveyed, trial, code, places[trial.stage]) for trial in chosen]


def _entry(surveyed: Survey, trial: Trial, code: Path | None, place: Place) -> Entry:
    decision, status = surveyed.decisions[trial.id], surveyed.statuses[trial.id]
    files: TrialFiles = prepare(trial, surveyed.runs)
    if status.state is State.CANCELLED or decision.fresh:
        uncancel(files)
    submission = Submission(
        executor=place.config.name,
        manifest_hash=surveyed.manifests[trial.id].hash,
        fresh=decision.fresh,
        snapshot=code.name if code is not None else None,
        launch_id=place.launch_id,
    )
    newest = max(files.attempt_numbers(), default=0) if decision.fresh else status.attempt or 0
    phase = Phase.ELSEWHERE if decision.action is Action.WAIT else Phase.WAITING
    folder = surveyed.runs / surveyed.sweep.name
    parents = tuple(TrialFiles(folder / parent) for parent in dict.fromkeys(trial.parents.values()))
    return Entry(files, trial.config, place, submission, newest, phase, parents)


def _launch(entries: Sequence[Entry], console: Console, board: Board, wait: bool) -> bool:
    with make_view(console) as view:
        return Launch(entries, view, wait).run(board.keep_up)


def _announce(surveyed: Survey, console: Console) -> None:
    """Say what is about to run, and what about its images may surprise."""
    sweep, run = surveyed.sweep, surveyed.chosen(Action.RUN)
    merged = len(surveyed.expansion.merged)
    same = f" ({merged} more points resolve to one of these)" if merged else ""
    standing = in_words(list(surveyed.statuses.values()))
    lines = [
        f"{sweep.name} on {sweep.data}: {len(surveyed.trials)} trials{same}: {standing}; {len(run)} to run"
    ]
    lines += [f"note: {note}" for note in surveyed.expansion.notes]
    described = read_manifests(run, absent_classes=True)
    for text in dict.fromkeys(_surprise(trial, described[trial.id]) for trial in run):
        lines += [f"note: {text}"] if text else []
    lines += [f"waiting  {trial.id}: running elsewhere" for trial in surveyed.chosen(Action.WAIT)]
    lines += _waits(surveyed)
    for trial in surveyed.chosen(Action.SKIP):
        if surveyed.statuses[trial.id].state is not State.DONE:
            lines.append(f"left     {trial.id}: {surveyed.decisions[trial.id].reason}")
    for line in lines:
        _say(console, line)


def _waits(surveyed: Survey) -> list[str]:
    """What has to wait for its parents: the first few one by one."""
    waiting = [trial for trial in surveyed.chosen(Action.RUN) if surveyed.decisions[trial.id].parents]
    lines = [
        f"waiting  {trial.id}: waits for {' and '.join(surveyed.decisions[trial.id].parents)}"
        for trial in waiting[:WAITS_SHOWN]
    ]
    more = len(waiting) - len(lines)
    return [*lines, f"waiting  {more} more trials wait for their parents"] if more else lines


def _say(console: Console, line: str, style: str = "") -> None:
    """One line, whole and as it is, wherever the output goes."""
    console.print(Text(line, style), soft_wrap=True)


def _surprise(trial: Trial, manifest: Manifest) -> str:
    """What is odd about a trial's images."""
    parts = list(manifest.skipped)
    if manifest.absent_classes:
        names = ", ".join(manifest.absent_classes)
        parts.append(f"{manifest.labelled} labelled target images show none of: {names}")
    return "; ".join(parts)


def _say_what_is_not_shown(surveyed: Survey, console: Console) -> None:
    """`--set` leaves an earlier plan as it is, and the leaderboard covers the plan."""
    name = surveyed.sweep.name
    planned = read_plan(surveyed.runs, name).get(surveyed.sweep.data, [])
    count = len({trial.id for trial in surveyed.trials}.difference(planned))
    if count:
        text = f"{count} of these trials are not in the plan: segda leaderboard {name} --all shows them"
        _say(console, text, "yellow")


def _part(surveyed: Survey, statuses: Sequence[TrialStatus], finished: bool, console: Console) -> int:
    """The last line where jobs go on without us."""
    name = surveyed.sweep.name
    watch = f"`segda status {name} --watch` shows them, `segda cancel {name}` ends them"
    _say(console, f"{name}: jobs are submitted; {watch}", "green")
    if not finished:
        return INTERRUPTED
    left = [status for status in statuses if status.state is State.MISSING]
    return SOME_FAILED if left else DONE


def _close(surveyed: Survey, statuses: Sequence[TrialStatus], finished: bool, console: Console) -> int:
    """The leaderboard and the last line, which says how it went."""
    name = surveyed.sweep.name
    if not finished:
        _say(console, f"interrupted: the same command continues where {name} stopped", "yellow")
        return INTERRUPTED
    show([name], surveyed.runs, console, today=surveyed.today)
    _say_what_is_not_shown(surveyed, console)
    failed = [status for status in statuses if status.state in (State.FAILED, State.MISSING)]
    if failed:
        waiting = sum(bool(status.waits_for) for status in failed)
        parts = [f"{len(failed) - waiting} of {len(statuses)} trials failed"] if len(failed) > waiting else []
        parts += [f"{waiting} wait for parents that are not done"] if waiting else []
        _say(console, f"{name}: {', '.join(parts)}", "red")
        return SOME_FAILED
    left = [status for status in statuses if status.state is not State.DONE]
    but = f", but {in_words(left)}" if left else ""
    _say(console, f"{name}: done{but}", "green")
    return DONE
