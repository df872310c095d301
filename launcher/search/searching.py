"""An adaptive search during a launch: as a trial ends, the next one joins."""

from pathlib import Path

from launcher.launching.canary import Canaries, kinds
from launcher.launching.decide import Action
from launcher.launching.entries import make_entry
from launcher.launching.entry import Phase
from launcher.launching.launch import Launch
from launcher.launching.placement import Places
from launcher.launching.survey import Survey
from launcher.search.adaptive import AdaptiveSearch
from launcher.trial import Trial
from launcher.trials.waiting import has_begun


def blindness(surveyed: Survey, places: Places) -> list[str]:
    """What to know of an adaptive search that may start all its trials before one of them has ended."""
    search = surveyed.proposing
    if search is None or places[None].executor.at_once(surveyed.ends[0].config) < search.trials:
        return []
    known = f"{search.algorithm} learns from trials that ended"
    return [f"search: {known}, but all {search.trials} may run at once here; --max-parallel N keeps it to N"]


class Searching:
    """Keeps a launch in trials that an adaptive search proposes; of any other sweep it does nothing."""

    def __init__(
        self,
        surveyed: Survey,
        launch: Launch,
        places: Places,
        code: Path | None,
        canaries: Canaries | None,
    ) -> None:
        """`canaries`: the launch's, where it has any."""
        search = surveyed.proposing
        self._search = None if search is None else AdaptiveSearch(surveyed.sweep, search, surveyed.runs)
        self._launch = launch
        self._places = places
        self._code = code
        self._canaries = canaries
        self.surveyed = surveyed
        """With every trial proposed so far."""
        self.fault: OSError | None = None
        """What keeps the next trial from being written, a full disk say; nothing more is proposed then."""

    def go_on(self) -> None:
        """Propose more, now that a trial has ended; a fault is kept, so that the trials that run may end."""
        try:
            self.propose()
        except OSError as error:
            self._search, self.fault = None, error

    def propose(self) -> None:
        """Add trials to the launch until as many are under way as run at once.

        None any more where a canary failed: what they share with it would fail them too.
        """
        while self._search is not None and not self._launch.is_stopping and self._has_room():
            if self._canaries is not None and self._canaries.has_failed:
                return
            proposal = self._search.propose()
            if proposal is None:
                self._search = None
                return
            self.surveyed = self.surveyed.with_proposal(proposal)
            if self.surveyed.decisions[proposal.trial.id].action is not Action.SKIP:
                self._add(proposal.trial)

    def _add(self, trial: Trial) -> None:
        """To the launch, behind the canary of its kind."""
        entry = make_entry(self.surveyed, trial, self._code, self._places)
        begins = entry.phase is Phase.WAITING and not has_begun(entry.files)
        if self._canaries is not None and begins:
            alike = kinds([trial], self._places, more_come=True)
            for canary in self._canaries.before(alike, [entry]):
                self._launch.add(canary)
        self._launch.add(entry)

    def _has_room(self) -> bool:
        """By the newest trial: all run on one executor, since a search has no stages."""
        if not (trials := self.surveyed.trials):
            return True
        return self._launch.unfinished() < self._places[None].executor.at_once(trials[-1].config)
