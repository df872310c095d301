"""Before a sweep fans out over a cluster: one short trial of each kind, for which the others wait.

A canary is a trial of two steps and then all that a trial does at its end: it saves, evaluates the whole
validation split and publishes. What would fail a hundred jobs, after hours in the queue, fails one first.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from launcher.launching.decide import Action, Requests, decide
from launcher.launching.entry import Entry, Phase
from launcher.launching.placement import Places
from launcher.status import read_status
from launcher.trial import Trial, doing
from launcher.trials.cancel import uncancel
from launcher.trials.find import CANARIES, canaries_of
from launcher.trials.prepare import is_prepared, prepare, read_config
from launcher.trials.states import State, TrialStatus
from launcher.trials.waiting import CANARY, has_begun, newest_attempt
from segda_core.config import CheckpointConfig, QualityConfig, TrialConfig
from segda_core.files import read_json
from segda_core.trials.causes import MACHINE_CAUSES
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import read_parents

STEPS = 2
"""Of a canary; more where it takes longer until every part of a step has been at work."""

SHAPE = {
    *("data", "transforms", "batch_size", "micro_batches"),
    *("precision", "compile", "capture", "ranks", "threads"),
}
"""Settings that decide, beside method and model, whether a trial can run at all."""


def kinds(trials: Iterable[Trial], places: Places, *, more_come: bool = False) -> dict[str, list[Trial]]:
    """Trials that train on a cluster for longer than a canary, by place and kind.

    Not a single one, unless a search that goes on makes it one of several.
    """
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        place = places[trial.stage]
        if (
            isinstance(trial.config, TrialConfig)
            and trial.config.steps > _steps(trial.config)
            and place.config.on_cluster
        ):
            found.setdefault(f"{place.launch_id} {_kind(trial.config, trial.parents)}", []).append(trial)
    return found if more_come or sum(map(len, found.values())) > 1 else {}


class Canaries:
    """Those of one launch; trials that join it later wait for the canary that their kind has already."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._of: dict[str, Entry | None] = {}
        """By place and kind; None where one was done before with the same code on the same executor."""

    def before(self, alike: Mapping[str, Sequence[Trial]], entries: Sequence[Entry]) -> list[Entry]:
        """The canaries that have to run first; the entries of a kind's trials now wait for its canary."""
        by_id = {entry.id: entry for entry in entries}
        made = []
        for kind, trials in alike.items():
            trial = min(trials, key=lambda each: not _parents_are_done(by_id[each.id]))
            if kind not in self._of:
                first = by_id[trial.id]
                done = _is_done(trial, first, self._runs)
                self._of[kind] = None if done else _canary_of(trial, first, self._runs)
                made.append(self._of[kind])
            if (canary := self._of[kind]) is not None:
                for each in trials:
                    _follow(by_id[each.id], canary)
        return [canary for canary in made if canary is not None]

    @property
    def has_failed(self) -> bool:
        """Whether one is over without a result."""
        ended = [canary for canary in self._of.values() if canary and canary.phase is Phase.OVER]
        return any(not canary.files.metrics.exists() for canary in ended)


def canaries_taken_up(entries: Sequence[Entry]) -> list[Entry]:
    """Canaries of an earlier launch that trials in the queue wait for: to be watched, or run (again).

    Where one has lost its files, those that wait for it are given back, and begin anew.
    """
    found: list[Entry] = []
    seen = {entry.files for entry in entries}
    for entry in entries:
        newest = newest_attempt(entry.files) if entry.phase is Phase.ELSEWHERE else None
        name = None if newest is None else (read_json(newest.submission) or {}).get("canary")
        if name is None or has_begun(entry.files):
            continue
        canary = TrialFiles(entry.files.root.parent / name)
        if canary not in seen and is_prepared(canary):
            seen.add(canary)
            found += _entries_of(canary, entry)
    return found


def _entries_of(canary: TrialFiles, waiting: Entry) -> list[Entry]:
    """The canary, unless it is over, as part of the launch of a trial that waits for it."""
    status = read_status(canary)
    action = decide(status, Requests()).action
    if action is Action.SKIP:
        return []
    config, submission = read_config(canary), replace(waiting.submission, fresh=False)
    parents = tuple(parent.files for parent in read_parents(canary))
    phase = Phase.WAITING if action is Action.RUN else Phase.ELSEWHERE
    return [Entry(canary, config, waiting.place, submission, status.attempt or 0, phase, parents)]


def _follow(entry: Entry, canary: Entry) -> None:
    entry.parents = (*entry.parents, canary.files)
    entry.submission = replace(entry.submission, canary=_below_the_sweep(canary.files))


def at_work(sweep: Path) -> list[TrialFiles]:
    """The canaries of a sweep that run or are queued, or that a launch may be about to start (again)."""
    return [canary for canary in canaries_of(sweep) if _may_run(read_status(canary))]


def _may_run(status: TrialStatus) -> bool:
    if status.state is State.FAILED:
        return status.cause in MACHINE_CAUSES
    return status.state in (State.RUNNING, State.QUEUED, State.MISSING)


def _steps(config: TrialConfig) -> int:
    return max(STEPS, config.first_steps + 1)


def _kind(config: TrialConfig, roles: Iterable[str]) -> str:
    model = None if config.model is None else config.model.name
    parts = [*doing(config), model, config.evaluation.size, sorted(roles)]
    return json.dumps([*parts, config.model_dump(mode="json", include=SHAPE)], sort_keys=True)


def _canary_of(trial: Trial, entry: Entry, runs: Path) -> Entry:
    assert isinstance(trial.config, TrialConfig)
    short: Mapping[str, object] = {
        "steps": _steps(trial.config),
        "log_every": 1,
        "checkpoint": CheckpointConfig(every=1),
        "quality": QualityConfig(images=0),
    }
    config = trial.config.model_copy(update=short)
    parents = {role: f"../../{parent}" for role, parent in trial.parents.items()}
    files = prepare(Trial(f"{trial.sweep}/{_where(entry)}", config, stage=CANARY, parents=parents), runs)
    uncancel(files)
    newest = files.newest_number
    submission = replace(entry.submission, fresh=False)
    return Entry(files, config, entry.place, submission, newest, parents=entry.parents)


def _parents_are_done(entry: Entry) -> bool:
    """Whether all it takes something from is done, so that its canary need not wait."""
    return all(parent.metrics.exists() for parent in entry.parents)


def _is_done(trial: Trial, entry: Entry, runs: Path) -> bool:
    """Whether a canary of the trial's kind has a result: of any trial, since another may have been first."""
    assert isinstance(trial.config, TrialConfig)
    kind = _kind(trial.config, trial.parents)
    results = (runs / trial.sweep / _where(entry)).glob("*/metrics.json")
    return any(_kind_of(TrialFiles(path.parent)) == kind for path in results)


def _kind_of(canary: TrialFiles) -> str:
    config = read_config(canary)
    assert isinstance(config, TrialConfig)
    return _kind(config, (parent.role for parent in read_parents(canary)))


def _where(entry: Entry) -> str:
    """Folder of the canaries of an executor and a state of the code, below the sweep's."""
    return f"{CANARIES}/{entry.place.config.name}-{entry.submission.snapshot}"


def _below_the_sweep(canary: TrialFiles) -> str:
    return canary.root.relative_to(canary.root.parents[2]).as_posix()
