"""An adaptive search during a launch: as a trial ends, the next one joins."""

from collections.abc import Callable

from launcher.decide import Action
from launcher.executors.base import Executor
from launcher.launch import Entry, Launch
from launcher.search.adaptive import AdaptiveSearch
from launcher.survey import Survey
from launcher.trial import Trial
from segda_core.errors import ConfigError


class Searching:
    """Keeps a launch in trials that an adaptive search proposes; of any other sweep it does nothing."""

    def __init__(
        self,
        surveyed: Survey,
        launch: Launch,
        executor: Executor,
        make_entry: Callable[[Survey, Trial], Entry],
    ) -> None:
        search = surveyed.proposing
        self._search = None if search is None else AdaptiveSearch(surveyed.sweep, search, surveyed.runs)
        self._launch = launch
        self._executor = executor
        self._make_entry = make_entry
        self.surveyed = surveyed
        """With every trial proposed so far."""

    def propose(self) -> None:
        """Add trials to the launch until as many are under way as run at once."""
        while self._search is not None and not self._launch.is_stopping and self._has_room():
            proposal = self._search.propose()
            if proposal is None:
                self._search = None
                return
            if problem := self._executor.problem(proposal.trial.config):
                raise ConfigError([f"{proposal.trial.id}: {problem}"])
            self.surveyed = self.surveyed.with_proposal(proposal)
            if self.surveyed.decisions[proposal.trial.id].action is not Action.SKIP:
                self._launch.add(self._make_entry(self.surveyed, proposal.trial))

    def _has_room(self) -> bool:
        trials = self.surveyed.trials
        return not trials or self._launch.unfinished() < self._executor.at_once(trials[-1].config)
