"""`segda sweep`: from a sweep's name to trained trials, the leaderboard and an exit code."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from launcher.decide import Action
from launcher.dry_run import DryRun, plan_dry_run
from launcher.entries import make_entry, prepare_all
from launcher.launch import ALIVE, Launch
from launcher.leaderboard import Today, show, write_leaderboards
from launcher.live import duration, make_view
from launcher.manifest import Manifest, problems, read_manifests
from launcher.placement import Places, executors_of, open_places, previews
from launcher.plan import read_plan
from launcher.search.adaptive import search_of_sweep
from launcher.search.best import write_best
from launcher.search.searching import Searching
from launcher.snapshot import take_snapshot
from launcher.states import State, TrialStatus
from launcher.status_view import in_words
from launcher.survey import Survey
from launcher.trial import Trial
from segda_core.errors import ConfigError, DataError

WAITS_SHOWN = 10
"""Trials named one by one among those that wait for their parents."""

DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes of `segda sweep`; 2 is wrong usage or configuration."""


def dry_run(surveyed: Survey) -> DryRun:
    """What a launch would do; `ConfigError` where its executor can never run one of the trials."""
    images = read_manifests(surveyed.trials, absent_classes=True)
    look = {trial.id: (surveyed.statuses[trial.id], images[trial.id]) for trial in surveyed.trials}
    run = surveyed.chosen(Action.RUN)
    to_place = [*run, *surveyed.may_be_proposed]
    with open_places(surveyed.sweep.stages, to_place, surveyed.surroundings()) as places:
        planned = plan_dry_run(
            surveyed.sweep,
            surveyed.expansion,
            look,
            surveyed.decisions,
            surveyed.runs,
            {trial.id: places[trial.stage].executor.at_once(trial.config) for trial in run},
        )
        return replace(planned, scripts=previews(run, places))


def run_sweep(surveyed: Survey, console: Console, wait: bool = True) -> int:
    """Run what is to run, print the leaderboard, and return the exit code.

    Without `wait`, jobs that need no launcher are only submitted.
    `DataError` where images cannot be used: then nothing is started.
    """
    if found := problems(surveyed.manifests.values()):
        raise DataError("\n".join(found))
    started = time.monotonic()
    board = Board(surveyed.runs / surveyed.sweep.name, surveyed.today)
    to_place = [*surveyed.chosen(Action.RUN, Action.WAIT), *surveyed.may_be_proposed]
    say = partial(_say, console)
    code = take_snapshot(surveyed.runs) if to_place else None
    with open_places(surveyed.sweep.stages, to_place, surveyed.surroundings(code, wait, say)) as places:
        finished, surveyed = _launch(surveyed, code, places, console, board, wait)
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


def _launch(
    surveyed: Survey, code: Path | None, places: Places, console: Console, board: Board, wait: bool
) -> tuple[bool, Survey]:
    """Run all trials; whether to the end, and the survey with those that a search proposed meanwhile."""
    goes_on = any(executor.outlives_launcher for executor in executors_of(places.values()))
    if surveyed.proposing and goes_on and not wait:
        raise ConfigError(["search: tpe proposes trials as results come in, so the launch stays: add --wait"])
    entries = prepare_all(surveyed, code, places)
    _announce(surveyed, console)
    with make_view(console) as view:
        launch = Launch(entries, view, wait)
        search = Searching(surveyed, launch, partial(make_entry, code=code, places=places))
        search.propose(places)

        def meanwhile(ended: bool) -> None:
            board.keep_up(ended)
            if ended:
                search.propose(places)

        finished = launch.run(meanwhile)
    return finished, search.surveyed


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
    if search_of_sweep(surveyed.sweep) is not None:
        best = write_best(surveyed.sweep, surveyed.expansion, statuses, surveyed.runs)
        if best is not None:
            _say(console, f"the best configuration over seeds: segda sweep {shlex.quote(str(best))}")
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
