"""From a survey to what a launch runs: the plan, the trials' directories, and an entry for each trial."""

from contextlib import suppress
from pathlib import Path

from launcher.launching.claim import Submission
from launcher.launching.decide import Action
from launcher.launching.entry import Entry, Phase
from launcher.launching.placement import Places
from launcher.launching.survey import Survey
from launcher.search.adaptive import search_of_sweep
from launcher.trial import Trial
from launcher.trials.cancel import uncancel
from launcher.trials.plan import write_plan
from launcher.trials.prepare import is_prepared, prepare
from launcher.trials.states import State
from segda_core.errors import ConfigError
from segda_core.trials.causes import EXPERIMENT_CAUSES
from segda_core.trials.layout import TrialFiles


def prepare_all(surveyed: Survey, code: Path | None, places: Places) -> list[Entry]:
    """Write the plan and the trials' directories, and line the trials up.

    An adaptive search plans its trials itself: others may add to it at this moment.
    """
    search = search_of_sweep(surveyed.sweep)
    if search is None or not search.is_adaptive:
        write_plan(surveyed.runs, surveyed.sweep, surveyed.expansion)
    for trial in surveyed.chosen(Action.SKIP):
        if surveyed.decisions[trial.id].parents:
            prepare(trial, surveyed.runs)  # so that its directory says what it waits for
        elif not is_prepared(trial.files(surveyed.runs)):
            with suppress(ConfigError, OSError):  # it counts all the same; who needs these files says so
                prepare(trial, surveyed.runs)
    chosen = surveyed.chosen(Action.RUN, Action.WAIT)
    return [make_entry(surveyed, trial, code, places) for trial in chosen]


def make_entry(surveyed: Survey, trial: Trial, code: Path | None, places: Places) -> Entry:
    """A trial with its directory, ready to run `code`."""
    place = places[trial.stage]
    decision, status = surveyed.decisions[trial.id], surveyed.statuses[trial.id]
    files: TrialFiles = prepare(trial, surveyed.runs)
    asked_again = "cancelled" in surveyed.requests.retry and status.state is State.QUEUED
    retried = status.state is State.CANCELLED or status.cause in EXPERIMENT_CAUSES
    if retried or decision.fresh or asked_again:
        uncancel(files)
    submission = Submission(
        executor=place.config.name,
        manifest_hash=surveyed.manifests[trial.id].hash,
        fresh=decision.fresh,
        snapshot=code.name if code is not None else None,
        launch_id=place.launch_id,
    )
    newest = files.newest_number if decision.fresh else status.attempt or 0
    phase = Phase.ELSEWHERE if decision.action is Action.WAIT else Phase.WAITING
    folder = surveyed.runs / surveyed.sweep.name
    parents = tuple(TrialFiles(folder / parent) for parent in dict.fromkeys(trial.parents.values()))
    return Entry(files, trial.config, place, submission, newest, phase, parents)
