"""An adaptive search: its trials so far, as the plan has them, and the next, planned before they start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from launcher.expand.points import search_of
from launcher.search.config import SearchConfig
from launcher.search.known import Known, read_known
from launcher.search.sample import probes
from launcher.sweep import Expansion, Sweep, expand
from launcher.trial import Trial
from launcher.trials.find import read_trial
from launcher.trials.plan import locked_plan, read_plan, store_plan
from launcher.trials.prepare import prepare
from segda_core.errors import ConfigError, Json
from segda_core.trials.layout import TrialFiles

Point = Mapping[str, Json]

DRAWS = 100
"""Proposals that may come to a trial which is there already, before the search gives up."""


def search_of_sweep(sweep: Sweep) -> SearchConfig | None:
    """A sweep's search; it has one stage then."""
    return search_of(sweep.stages[0].part)


def with_points(sweep: Sweep, points: Sequence[Point]) -> Sweep:
    """The sweep whose adaptive search has proposed these."""
    return replace(sweep, stages=(replace(sweep.stages[0], proposed=tuple(points)),))


def ends_of_search(sweep: Sweep) -> list[Trial]:
    """Trials with the ends of an adaptive search's space; none where it has all the trials it asks for."""
    search = search_of_sweep(sweep)
    if search is None or not search.is_adaptive or len(sweep.stages[0].proposed) >= search.trials:
        return []
    return expand(with_points(sweep, list(probes(search)))).trials


def taken_up(sweep: Sweep, runs: Path) -> Sweep:
    """The sweep with what its search, where it is adaptive, has proposed up to now.

    Planned trials that today's file no longer makes are left out, as those of a changed grid are. With
    `--set` that is a `ConfigError`, because the plan is the only record of an adaptive search.
    """
    search = search_of_sweep(sweep)
    if search is None or not search.is_adaptive:
        return sweep
    ends_of_search(sweep)  # every fault of the space, before anything is queued
    planned = read_plan(runs, sweep.name).get(sweep.data, [])
    found = [TrialFiles(runs / sweep.name / trial_id) for trial_id in planned]
    points = [
        point for files in found if files.trial.exists() and search.holds(point := read_trial(files).point)
    ]
    made = [trial for trial in expand(with_points(sweep, points)).trials if trial.id in planned]
    if sweep.overrides and len(made) < len(planned):
        raise ConfigError(
            [f"--set: the search {sweep.name} has begun with other settings; give it a file of another name"]
        )
    return with_points(sweep, [trial.point for trial in made])


@dataclass(frozen=True)
class Proposal:
    """One more trial of a search."""

    trial: Trial
    sweep: Sweep
    expansion: Expansion
    """With it."""


class AdaptiveSearch:
    """Proposes trials one by one; several launches may do so side by side."""

    def __init__(self, sweep: Sweep, search: SearchConfig, runs: Path) -> None:
        self._sweep = sweep
        self._search = search
        self._runs = runs

    def propose(self) -> Proposal | None:
        """The next trial, prepared and in the plan; None where there are enough, or no new one is found.

        A trial that another launch proposed meanwhile comes first.
        """
        with locked_plan(self._runs / self._sweep.name):
            now = taken_up(self._sweep, self._runs)
            self._store(expand(now))  # without those that today's file no longer makes
            before, points = self._sweep.stages[0].proposed, now.stages[0].proposed
            if len(points) > len(before):
                return self._adopt(with_points(now, points[: len(before) + 1]))
            if len(points) >= self._search.trials:
                return None
            proposal = self._new_trial(now)
            if proposal is not None:
                prepare(proposal.trial, self._runs)
                self._store(proposal.expansion)
                self._sweep = proposal.sweep
            return proposal

    def _store(self, expansion: Expansion) -> None:
        store_plan(self._runs, self._sweep, [trial.id for trial in expansion.trials])

    def _adopt(self, sweep: Sweep) -> Proposal:
        self._sweep = sweep
        expansion = expand(sweep)
        return Proposal(expansion.trials[-1], sweep, expansion)

    def _new_trial(self, sweep: Sweep) -> Proposal | None:
        """Ask TPE until its settings make a trial that is not there yet."""
        tpe = import_module("launcher.search.tpe")  # loads Optuna
        trials = expand(sweep).trials
        known = [read_known(trial, self._runs) for trial in trials]
        for _ in range(DRAWS):
            point = tpe.propose(self._search, known)
            if point is None:
                return None
            wider = with_points(sweep, [*sweep.stages[0].proposed, point])
            expansion = expand(wider)
            if len(expansion.trials) > len(trials):
                return Proposal(expansion.trials[-1], wider, expansion)
            known.append(Known(point))
        return None
