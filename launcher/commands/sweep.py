"""`segda sweep`: from a sweep's name to trained trials, the leaderboard and an exit code."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from rich.console import Console

from launcher.commands.announce import announce, say
from launcher.commands.dry_run import DryRun, plan_dry_run
from launcher.commands.status_view import in_words
from launcher.executors.base import Surroundings
from launcher.launching.canary import STEPS, Canaries, canaries_taken_up, kinds
from launcher.launching.decide import Action
from launcher.launching.entries import prepare_all
from launcher.launching.entry import Entry
from launcher.launching.launch import Launch
from launcher.launching.live import make_view
from launcher.launching.manifest import problems
from launcher.launching.placement import Places, executors_of, open_places, previews
from launcher.launching.settle import ALIVE
from launcher.launching.snapshot import take_snapshot
from launcher.launching.survey import Survey
from launcher.launching.today import read_today
from launcher.leaderboard import Board, see, show
from launcher.search.adaptive import search_of_sweep
from launcher.search.best import write_best
from launcher.search.searching import Searching, blindness
from launcher.trials.plan import read_plan
from launcher.trials.states import State, TrialStatus
from launcher.words import duration, several
from segda_core.errors import ConfigError, DataError

DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes of `segda sweep`; 2 is wrong usage or configuration."""


def dry_run(surveyed: Survey, wait: bool = True, canary: bool = True) -> DryRun:
    """What a launch would do; `ConfigError` where its executor can never run one of the trials."""
    images = surveyed.manifests
    look = {trial.id: (surveyed.statuses[trial.id], images[trial.id]) for trial in surveyed.trials}
    run = surveyed.chosen(Action.RUN)
    to_place = [*run, *surveyed.ends]
    with open_places(surveyed.sweep.stages, to_place, surveyed.surroundings(wait=wait)) as places:
        planned = plan_dry_run(
            surveyed.sweep,
            surveyed.expansion,
            look,
            surveyed.decisions,
            surveyed.runs,
            {trial.id: places[trial.stage].executor.at_once(trial.config) for trial in run},
        )
        first = len(kinds([*surveyed.beginning, *surveyed.ends], places)) if canary else 0
        canaries = f"canaries: up to {several(first, 'trial')} of {STEPS} steps, each before its kind"
        notes = [f"{canaries} (--no-canary: none)"] if first else []
        return replace(
            planned,
            problems=problems(surveyed.manifests.values()),
            scripts=previews(run, places),
            notes=[*planned.notes, *notes, *blindness(surveyed, places)],
        )


def run_sweep(surveyed: Survey, console: Console, wait: bool = True, canary: bool = True) -> int:
    """Run what is to run, print the leaderboard, and return the exit code.

    Without `wait`, jobs that need no launcher are only submitted. With `canary`, a short trial of each kind
    goes first on a cluster.
    `DataError` where images cannot be used: then nothing is started.
    """
    if found := problems(surveyed.manifests.values()):
        raise DataError("\n".join(found))
    started = time.monotonic()
    folder = surveyed.runs / surveyed.sweep.name
    others = read_today([folder] if folder.is_dir() else [], but=surveyed.manifests)
    surveyed = replace(surveyed, others=others.manifest_hashes)
    board = Board(folder, surveyed.today)
    to_place = [*surveyed.chosen(Action.RUN, Action.WAIT), *surveyed.ends]
    code = take_snapshot(surveyed.runs) if to_place else None
    surroundings = surveyed.surroundings(code, wait, partial(say, console))
    with open_places(surveyed.sweep.stages, to_place, surroundings) as places:
        _check_it_stays(surveyed, places, wait)
        entries = prepare_all(surveyed, code, places)
        announce(surveyed, console)
        for note in blindness(surveyed, places):
            say(console, f"note: {note}", "yellow")
        canaries = Canaries(surveyed.runs) if canary else None
        if canaries is not None:
            alike = kinds(surveyed.beginning, places, more_come=bool(surveyed.ends))
            entries = [*canaries.before(alike, entries), *entries]
        entries = [*canaries_taken_up(entries), *entries]
        finished, surveyed = _launch(surveyed, entries, canaries, places, surroundings, console, board)
    statuses = surveyed.read_statuses()
    if fault := board.write():
        say(console, f"the leaderboard's files are not written: {fault}", "red")
    took = duration(time.monotonic() - started)
    say(console, f"{surveyed.sweep.name}: {in_words(statuses)} in {took}", "bold")
    goes_on = any(executor.outlives_launcher for executor in executors_of(places.values()))
    if goes_on and any(status.state in ALIVE for status in statuses):
        return _part(surveyed, statuses, finished, console)
    return _close(surveyed, statuses, finished, console)


def _check_it_stays(surveyed: Survey, places: Places, wait: bool) -> None:
    """Only a launch that waits for results can propose trials by them."""
    goes_on = any(executor.outlives_launcher for executor in executors_of(places.values()))
    if surveyed.proposing and goes_on and not wait:
        raise ConfigError(["search: tpe proposes trials as results come in, so the launch stays: add --wait"])


def _launch(
    surveyed: Survey,
    entries: Sequence[Entry],
    canaries: Canaries | None,
    places: Places,
    surroundings: Surroundings,
    console: Console,
    board: Board,
) -> tuple[bool, Survey]:
    """Run all trials; whether to the end, and the survey with those that a search proposed meanwhile."""
    with make_view(console) as view:
        launch = Launch(entries, view, surroundings.waits)
        search = Searching(surveyed, launch, places, surroundings.code, canaries)
        search.propose()

        def meanwhile(ended: bool) -> None:
            board.keep_up(ended)
            if ended:
                search.go_on()

        finished = launch.run(meanwhile)
    if search.fault is not None:
        raise DataError(f"search: its next trial cannot be written: {search.fault}") from search.fault
    return finished, search.surveyed


def _say_what_is_not_shown(surveyed: Survey, console: Console) -> None:
    """`--set` leaves an earlier plan as it is, and the leaderboard covers the plan."""
    name = surveyed.sweep.name
    planned = read_plan(surveyed.runs, name).get(surveyed.sweep.data, [])
    count = len({trial.id for trial in surveyed.trials}.difference(planned))
    if count:
        text = f"{count} of these trials are not in the plan: segda leaderboard {name} --all shows them"
        say(console, text, "yellow")


def _part(surveyed: Survey, statuses: Sequence[TrialStatus], finished: bool, console: Console) -> int:
    """The last line where jobs go on without us."""
    name = surveyed.sweep.name
    watch = f"`segda status {name} --watch` shows them, `segda cancel {name}` ends them"
    say(console, f"{name}: jobs are submitted; {watch}", "green")
    if not finished:
        return INTERRUPTED
    left = [status for status in statuses if status.state is State.MISSING]
    return SOME_FAILED if left else DONE


def _without_result(statuses: Sequence[TrialStatus]) -> str:
    """How many failed, and how many never began, in words; empty where all have ended well."""
    failed = sum(status.state is State.FAILED for status in statuses)
    missing = [status for status in statuses if status.state is State.MISSING]
    waiting = sum(bool(status.waits_for) for status in missing)
    counts = {
        f"of {len(statuses)} trials failed": failed,
        "wait for parents that are not done": waiting,
        "did not start": len(missing) - waiting,
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _tell_of_search(surveyed: Survey, statuses: Sequence[TrialStatus], console: Console) -> None:
    """Of a sweep that searches: its best configuration, and whether its space held fewer than it asks for."""
    search = search_of_sweep(surveyed.sweep)
    if search is None:
        return
    try:
        best = write_best(surveyed.sweep, surveyed.expansion, surveyed.runs)
    except OSError as error:
        say(console, f"the best configuration is not written: {error}", "red")
        best = None
    if best is not None:
        say(console, f"to repeat the best configuration over seeds: segda sweep {shlex.quote(str(best))}")
    count = len(statuses)
    if surveyed.proposing and count < search.trials and not _without_result(statuses):
        say(console, f"search: {count} of {search.trials} trials; its space holds no more new ones", "yellow")


def _close(surveyed: Survey, statuses: Sequence[TrialStatus], finished: bool, console: Console) -> int:
    """The leaderboard and the last line, which says how it went."""
    name = surveyed.sweep.name
    if not finished:
        say(console, f"interrupted: the same command continues where {name} stopped", "yellow")
        return INTERRUPTED
    show(see([name], surveyed.runs, today=surveyed.today), console)
    if (page := surveyed.runs / name / "leaderboard.html").is_file():
        say(console, f"with curves and predictions: {page}")
    _tell_of_search(surveyed, statuses, console)
    _say_what_is_not_shown(surveyed, console)
    if without := _without_result(statuses):
        say(console, f"{name}: {without}", "red")
        return SOME_FAILED
    left = [status for status in statuses if status.state is not State.DONE]
    but = f", but {in_words(left)}" if left else ""
    say(console, f"{name}: done{but}", "green")
    return DONE
