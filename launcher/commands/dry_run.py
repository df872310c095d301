"""`--dry-run`: what a launch would do with every trial and why, with commands, time and disk."""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from launcher.commands.forecast import Past
from launcher.expand.executor_config import nodes_of
from launcher.launching.decide import Action, Decision
from launcher.launching.manifest import Manifest, problems
from launcher.processes.command import FIRST_NODE, Node, worker_command
from launcher.sweep import Expansion, Sweep
from launcher.trial import Trial
from launcher.trials.states import State, TrialStatus


@dataclass(frozen=True)
class DryRunTrial:
    """One trial of a dry run."""

    id: str
    point: dict[str, Any]
    state: State
    cause: str | None
    action: Action
    reason: str
    waits_for: tuple[str, ...]
    """Parents that are not done."""
    command: str | None
    """Shell line that trains its next attempt; None where it does not run."""
    seconds: float | None
    disk_bytes: int
    images: Manifest


@dataclass(frozen=True)
class DryRun:
    """What a launch of some trials of a sweep would do."""

    sweep: str
    file: str
    data: str
    executor: str
    planned: int
    """Trials of the full expansion."""
    trials: list[DryRunTrial]
    merged: list[tuple[dict[str, Any], str]]
    """Points that are the same trial as an earlier one."""
    notes: list[str]
    problems: list[str]
    """Images that cannot be used: nothing would be queued."""
    free_bytes: int
    seconds: float
    """Until the last of the trials to run that could be judged has ended."""
    scripts: list[str] = field(default_factory=list)
    """What would be submitted to a cluster."""

    @property
    def to_run(self) -> list[DryRunTrial]:
        """Trials that a launch would run."""
        return [trial for trial in self.trials if trial.action is Action.RUN]

    @property
    def unjudged(self) -> int:
        """Trials to run for which nothing comparable has finished."""
        return sum(trial.seconds is None for trial in self.to_run)

    @property
    def disk_bytes(self) -> int:
        """Added up over the trials to run."""
        return sum(trial.disk_bytes for trial in self.to_run)

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        content = {
            name: getattr(self, name)
            for name in ("sweep", "file", "data", "executor", "planned", "notes", "problems", "scripts")
        }
        sums = {"seconds": self.seconds, "unjudged": self.unjudged, "disk_bytes": self.disk_bytes}
        return {
            **content,
            **sums,
            "free_bytes": self.free_bytes,
            "trials": [_trial_json(trial) for trial in self.trials],
            "merged": [{"point": point, "id": trial_id} for point, trial_id in self.merged],
        }


def plan_dry_run(
    sweep: Sweep,
    expansion: Expansion,
    look: Mapping[str, tuple[TrialStatus, Manifest]],
    decisions: Mapping[str, Decision],
    runs: Path,
    at_once: Mapping[str, int],
) -> DryRun:
    """What would happen to the trials whose state, images and decision are given (by id).

    `at_once` says of those to run how many like each its executor runs side by side.
    """
    past = Past(runs)
    chosen = [trial for trial in expansion.trials if trial.id in look]
    for trial in chosen:
        if metrics := look[trial.id][0].metrics:
            past.add(trial.config, metrics, trial.files(runs))
    manifests = [manifest for _, manifest in look.values()]
    nodes = {stage.name: nodes_of(stage.executor) for stage in sweep.stages}
    trials = [
        _plan(trial, *look[trial.id], decisions[trial.id], past, runs, nodes[trial.stage]) for trial in chosen
    ]
    return DryRun(
        sweep=sweep.name,
        file=str(sweep.file),
        data=sweep.data,
        executor=", ".join(dict.fromkeys(stage.executor.name for stage in sweep.stages)),
        planned=len(expansion.trials),
        trials=trials,
        merged=expansion.merged,
        notes=[*expansion.notes, *_image_notes(manifests)],
        problems=problems(manifests),
        free_bytes=_free_bytes(runs),
        seconds=_side_by_side(trials, [at_once.get(trial.id, 1) for trial in chosen]),
    )


def _plan(
    trial: Trial,
    status: TrialStatus,
    images: Manifest,
    decision: Decision,
    past: Past,
    runs: Path,
    nodes: int,
) -> DryRunTrial:
    runs_now = decision.action is Action.RUN
    forecast = past.forecast(trial.config) if runs_now else None
    return DryRunTrial(
        id=trial.id,
        point=trial.point,
        state=status.state,
        cause=status.cause,
        action=decision.action,
        reason=decision.reason,
        waits_for=decision.parents,
        command=_command(trial, status, runs, nodes) if runs_now else None,
        seconds=forecast.seconds if forecast else None,
        disk_bytes=forecast.disk_bytes if forecast else 0,
        images=images,
    )


def _side_by_side(trials: Sequence[DryRunTrial], at_once: Sequence[int]) -> float:
    """Seconds for all, each beside as many like it as have room; at least those of the longest chain."""
    judged = [(trial.seconds or 0.0, room) for trial, room in zip(trials, at_once, strict=True)]
    until: dict[str, float] = {}
    for trial in trials:
        awaited = max((until.get(parent, 0.0) for parent in trial.waits_for), default=0.0)
        until[trial.id] = awaited + (trial.seconds or 0.0)
    return max(max(until.values(), default=0.0), sum(seconds / room for seconds, room in judged))


def _command(trial: Trial, status: TrialStatus, runs: Path, nodes: int) -> str:
    """That of the first node, which only a job's start says, where there are several."""
    first = Node(0, "FIRST_NODE:PORT") if nodes > 1 else FIRST_NODE
    command = worker_command(trial.files(runs).root, (status.attempt or 0) + 1, trial.config, nodes, first)
    return f"OMP_NUM_THREADS={trial.config.threads} {shlex.join(command)}"


def _image_notes(manifests: Sequence[Manifest]) -> list[str]:
    skipped = dict.fromkeys(line for manifest in manifests for line in manifest.skipped)
    absent = {manifest.labelled: manifest.absent_classes for manifest in manifests if manifest.absent_classes}
    lines = [f"left out: {line}" for line in skipped]
    lines += [
        f"no label among {count} target images shows {', '.join(names)}" for count, names in absent.items()
    ]
    return lines


def _free_bytes(runs: Path) -> int:
    folder = runs.resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _trial_json(trial: DryRunTrial) -> dict[str, Any]:
    return {**asdict(trial), "images": trial.images.model_dump(mode="json")}
