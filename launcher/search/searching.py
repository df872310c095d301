"""An adaptive search during a launch: as a trial ends, the next one joins."""

from pathlib import Path

from launcher.decide import Action
from launcher.entries import make_entry
from launcher.launch import Launch
from launcher.placement import Places
from launcher.search.adaptive import AdaptiveSearch
from launcher.survey import Survey


def blindness(surveyed: Survey, places: Places) -> list[str]:
    """What to know of an adaptive search that may start all its trials before one of them has ended."""
    search = surveyed.proposing
    if search is None or places[None].executor.at_once(surveyed.ends[0].config) < search.trials:
        return []
    known = f"{search.algorithm} learns from trials that ended"
    return [f"search: {known}, but all {search.trials} may run at once here; --max-parallel N keeps it to N"]


class Searching:
    """Keeps a launch in trials that an adaptive search proposes; of any other sweep it does nothing."""

    def __init__(self, surveyed: Survey, launch: Launch, places: Places, code: Path | None) -> None:
        search = surveyed.proposing
        self._search = None if search is None else AdaptiveSearch(surveyed.sweep, search, surveyed.runs)
        self._launch = launch
        self._places = places
        self._code = code
        self.surveyed = surveyed
        """With every trial proposed so far."""

    def propose(self) -> None:
        """Add trials to the launch until as many are under way as run at once."""
        while self._search is not None and not self._launch.is_stopping and self._has_room():
            proposal = self._search.propose()
            if proposal is None:
                self._search = None
                return
            self.surveyed = self.surveyed.with_proposal(proposal)
            if self.surveyed.decisions[proposal.trial.id].action is not Action.SKIP:
                self._launch.add(make_entry(self.surveyed, proposal.trial, self._code, self._places))

    def _has_room(self) -> bool:
        """By the newest trial: all run on one executor, since a search has no stages."""
        if not (trials := self.surveyed.trials):
            return True
        return self._launch.unfinished() < self._places[None].executor.at_once(trials[-1].config)
