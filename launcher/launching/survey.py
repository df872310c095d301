"""What a launch of a sweep depends on, read before anything is changed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from launcher.executors.base import Surroundings, silently
from launcher.expand.selection import select
from launcher.launching.decide import Action, Decision, Requests, decide, decide_all, parse_rerun, parse_retry
from launcher.launching.manifest import Manifest, image_hashes, problems, read_manifests
from launcher.leaderboard import Today
from launcher.processes.foreground import run_core
from launcher.search.adaptive import Proposal, ends_of_search, search_of_sweep, taken_up
from launcher.search.config import SearchConfig
from launcher.search.early import early_stopping
from launcher.status import read_status
from launcher.sweep import Expansion, Sweep, expand
from launcher.trial import Trial
from launcher.trials.states import TrialStatus
from launcher.trials.waiting import has_begun
from segda_core.checkout import current_commit
from segda_core.errors import DataError
from segda_core.trials.layout import TrialFiles


@dataclass(frozen=True)
class Survey:
    """A sweep's chosen trials as they stand, and what a launch would do with each."""

    sweep: Sweep
    expansion: Expansion
    trials: list[Trial]
    runs: Path
    manifests: dict[str, Manifest]
    """Trial id -> its images; those of `ends` too."""
    commit: str | None
    requests: Requests
    ends: list[Trial]
    """Of an adaptive search that goes on: trials with the ends of its space, which it may propose."""
    statuses: dict[str, TrialStatus] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    """Id -> hash of its images now, of finished trials of the sweep's folder that were not chosen."""

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
        return read_status(trial.files(self.runs), self.today.manifest_hashes, self.commit)

    @property
    def proposing(self) -> SearchConfig | None:
        """The adaptive search that may propose further trials."""
        return search_of_sweep(self.sweep) if self.ends else None

    def with_proposal(self, proposal: Proposal) -> "Survey":
        """With one more trial of its search."""
        trial = proposal.trial
        grown = replace(
            self,
            sweep=proposal.sweep,
            expansion=proposal.expansion,
            trials=[*self.trials, trial],
            manifests={**self.manifests, **read_manifests([trial])},
        )
        status = grown.read_status(trial)
        return replace(
            grown,
            statuses={**self.statuses, trial.id: status},
            decisions={**self.decisions, trial.id: decide(status, self.requests)},
        )

    def surroundings(
        self, code: Path | None = None, wait: bool = True, say: Callable[[str], None] = silently
    ) -> Surroundings:
        """What executors are told; their jobs run `code`."""
        early = early_stopping(self.sweep, self.expansion.trials, self.ends, self.runs)
        return Surroundings(self.runs / self.sweep.name, code, wait, early, say)

    @cached_property
    def today(self) -> Today:
        """What the leaderboard compares results with."""
        return Today({**self.others, **image_hashes(self.manifests)}, self.commit)


def survey(
    sweep: Sweep,
    runs: Path,
    only: Sequence[str],
    retry: str | None,
    rerun: Sequence[str],
    absent_classes: bool = False,
) -> Survey:
    """Read everything a launch depends on; changes nothing. `absent_classes` looks into label images."""
    sweep = taken_up(sweep, runs)
    expansion = expand(sweep)
    trials = select(expansion.trials, only)
    requests = parse_rerun(rerun, [trial.id for trial in trials]) if rerun else Requests()
    requests = requests if retry is None else replace(requests, retry=parse_retry(retry))
    ends = [] if only else ends_of_search(sweep)
    manifests = read_manifests([*trials, *ends], absent_classes)
    surveyed = Survey(sweep, expansion, trials, runs, manifests, current_commit(), requests, ends)
    statuses = {trial.id: surveyed.read_status(trial) for trial in trials}
    folder, parents = runs / sweep.name, {parent for trial in trials for parent in trial.parents.values()}
    others = {parent: read_status(TrialFiles(folder / parent)) for parent in parents - statuses.keys()}
    decisions = decide_all(trials, {**others, **statuses}, requests)
    return replace(surveyed, statuses=statuses, decisions=decisions)


def make_images(surveyed: Survey) -> bool:
    """Draw the profiles' images where they are missing and segda can; whether it did."""
    made = {stage.profile_file: stage.profile.make for stage in surveyed.sweep.stages if stage.profile.make}
    if not made or not problems(surveyed.manifests.values()):
        return False
    for file, maker in made.items():
        if run_core("segda_core.data", "make", maker, "--profile", str(file)):
            raise DataError(f"{file}: make: the images of {maker} could not be made")
    return True
