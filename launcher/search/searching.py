"""An adaptive search during a launch: as a trial ends, the next one joins."""

from collections.abc import Callable

from launcher.decide import Action
from launcher.launch import Entry, Launch
from launcher.placement import Places
from launcher.search.adaptive import AdaptiveSearch
from launcher.survey import Survey
from launcher.trial import Trial


class Searching:
    """Keeps a launch in trials that an adaptive search proposes; of any other sweep it does nothing."""

    def __init__(
        self, surveyed: Survey, launch: Launch, make_entry: Callable[[Survey, Trial], Entry]
    ) -> None:
        search = surveyed.proposing
        self._search = None if search is None else AdaptiveSearch(surveyed.sweep, search, surveyed.runs)
        self._launch = launch
        self._make_entry = make_entry
        self.surveyed = surveyed
        """With every trial proposed so far."""

    def propose(self, places: Places) -> None:
        """Add trials to the launch until as many are under way as run at once."""
        while self._search is not None and not self._launch.is_stopping and self._has_room(places):
            proposal = self._search.propose()
            if proposal is None:
                self._search = None
                return
            self.surveyed = self.surveyed.with_proposal(proposal)
            if self.surveyed.decisions[proposal.trial.id].action is not Action.SKIP:
                self._launch.add(self._make_entry(self.surveyed, proposal.trial))

    def _has_room(self, places: Places) -> bool:
        """By the newest trial: all run on one executor, since a search has no stages."""
        if not (trials := self.surveyed.trials):
            return True
        return self._launch.unfinished() < places[None].executor.at_once(trials[-1].config)
