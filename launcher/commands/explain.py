"""`segda explain`: where each value of a trial comes from, whether it would run, and what sets it apart."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from launcher.expand.compare import Difference, differences, leaves, nearest
from launcher.expand.layers import Layer, find_layer, look_up
from launcher.launching.decide import Decision, Requests, decide_all
from launcher.launching.manifest import image_hashes, read_manifests
from launcher.status import read_status
from launcher.sweep import Expansion, Sweep
from launcher.trial import Trial, doing
from launcher.trials.find import read_trial
from launcher.trials.prepare import read_config
from launcher.trials.states import State, TrialStatus
from launcher.words import percent
from segda_core.config import TaskConfig
from segda_core.errors import ConfigError, Json, KeyPath, dotted
from segda_core.trials.layout import TrialFiles

COMPARED = 300
"""Finished trials that the sweep no longer makes, newest first, whose files are read for a comparison."""


@dataclass(frozen=True)
class Value:
    """One setting of a trial."""

    path: str
    value: Json
    origin: str
    """`default`, or the file and the place in it, or why no file gives it."""


@dataclass(frozen=True)
class Relative:
    """A parent of a trial."""

    id: str
    state: State


@dataclass(frozen=True)
class Explanation:
    """Everything there is to say about one trial before it runs."""

    id: str
    directory: str
    status: TrialStatus
    decision: Decision
    values: list[Value]
    parents: dict[str, "Relative"] = field(default_factory=dict)
    """Role -> the trial it takes something from."""
    changed: list[Difference] = field(default_factory=list)
    """Settings of config.yaml (`here`) that the sweep file gives otherwise by now: its next attempt's."""
    nearest: str | None = None
    """The finished trial of the sweep that differs in fewest settings."""
    differences: list[Difference] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return asdict(self)


def explain(trial: Trial, sweep: Sweep, expansion: Expansion, runs: Path, requests: Requests) -> Explanation:
    """Explain one trial of a sweep's expansion."""
    files, family = trial.files(runs), _family(trial, expansion)
    images = read_manifests(family)
    hashes = image_hashes(images)
    statuses = {each.id: read_status(each.files(runs), hashes) for each in family}
    decision = decide_all(family, statuses, requests)[trial.id]
    other = nearest(trial, _finished(trial, expansion, runs))
    return Explanation(
        id=trial.id,
        directory=str(files.root),
        status=statuses[trial.id],
        decision=decision,
        parents={role: Relative(other, statuses[other].state) for role, other in trial.parents.items()},
        values=list(_values(trial.config, expansion.layers[trial.id])),
        changed=_changed(files, trial.config),
        nearest=other[0] if other else None,
        differences=other[1] if other else [],
    )


def _family(trial: Trial, expansion: Expansion) -> list[Trial]:
    """The trial and all above it, parents first."""
    ids = {trial.id}
    for other in reversed(expansion.trials):  # children come after their parents
        if other.id in ids:
            ids.update(other.parents.values())
    return [other for other in expansion.trials if other.id in ids]


def _values(config: TaskConfig, layers: Sequence[Layer]) -> Iterator[Value]:
    for path, value in leaves(config.model_dump(mode="json")):
        yield Value(dotted(path), value, _origin(path, value, config, layers))


def _origin(path: KeyPath, value: Json, config: TaskConfig, layers: Sequence[Layer]) -> str:
    layer = find_layer(layers, path)
    if layer is not None and _gives(layer, path, value):
        place = layer.location(path)
        return f"--set {place}" if layer.kind == "--set" else f"{layer.kind} ({layer.file}: {place})"
    if layer is not None:
        return f"not what {layer.kind} gives: {doing(config)[1]} does not use it"
    if path[0] == "data":
        return "data profile"
    if path in (("source",), ("target", "subset")) or (
        path[:2] == ("target", "labelled") and value is not None
    ):
        return f"follows from {' '.join(doing(config))}"
    return "default"


def _gives(layer: Layer, path: KeyPath, value: Json) -> bool:
    try:
        return bool(look_up(layer.value, path[len(layer.path) :]) == value)
    except KeyError:
        return False


def _changed(files: TrialFiles, config: TaskConfig) -> list[Difference]:
    if not files.config.exists():
        return []
    return differences(read_config(files).model_dump(mode="json"), config.model_dump(mode="json"))


def _finished(trial: Trial, expansion: Expansion, runs: Path) -> Iterator[Trial]:
    """Finished trials of the sweep other than this one, today's first."""
    known = {other.id for other in expansion.trials}
    for other in expansion.trials:
        if other.id != trial.id and other.files(runs).metrics.exists():
            yield other
    results = (runs / trial.sweep).glob("*/metrics.json")
    earlier = [path for path in results if path.parent.name not in known]
    earlier.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in earlier[:COMPARED]:
        try:
            yield read_trial(TrialFiles(path.parent))
        except ConfigError:  # written by a version with other settings: nothing to compare with
            continue


def render(explanation: Explanation, console: Console) -> None:
    """The explanation for a terminal."""
    lines = [Text(explanation.id, "bold"), Text(f"in {explanation.directory}")]
    lines.append(Text(f"{_standing(explanation.status)}; next launch: {_next(explanation.decision)}"))
    lines += [Text(f"{role}: {parent.id} ({parent.state})") for role, parent in explanation.parents.items()]
    lines += [Text(), *_value_lines(explanation.values)]
    if explanation.changed:
        lines.append(Text("\nof its config.yaml its next attempt changes (not in its id):"))
        lines += [
            Text(f"  {item.path}: {_shown(item.here)}, then {_shown(item.there)}")
            for item in explanation.changed
        ]
    if explanation.nearest is not None:
        lines.append(Text(f"\nnearest finished trial: {explanation.nearest}"))
        lines += [Text(f"  {row}") for row in _difference_lines(explanation.differences)]
    console.print(Text("\n").join(lines), soft_wrap=True)


def _difference_lines(differences: Sequence[Difference]) -> list[str]:
    if not differences:
        return ["the same settings, under another config version"]
    return [f"{item.path}: {_shown(item.here)} here, {_shown(item.there)} there" for item in differences]


def _standing(status: TrialStatus) -> str:
    """The state, and how far the trial came."""
    parts = [str(status.state)]
    if status.step is not None:
        parts.append(f"step {status.step}/{status.steps or '?'}")
    if status.miou is not None:
        parts.append(f"mIoU {'' if status.metrics else 'so far '}{percent(status.miou)}")
    return ", ".join(parts)


def _next(decision: Decision) -> str:
    return f"{decision.action} ({decision.reason})"


def _value_lines(values: Sequence[Value]) -> Iterator[Text]:
    width = max(
        len(f"{value.path}: {_shown(value.value)}") for value in values if len(_shown(value.value)) < 40
    )
    for value in values:
        style = "dim" if value.origin == "default" else ""
        yield Text(f"{f'{value.path}: {_shown(value.value)}':<{width}}  {value.origin}", style)


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
