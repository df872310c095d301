"""Reads finished trials into rows (run, checkpoint) that may be compared, and says what was left out."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segda_core.files import read_json
from segda_core.quality.catalogue import METRICS
from segda_core.quality.selection import Row
from segda_core.trials.layout import TrialFiles
from segda_core.trials.trial_history import trial_history


@dataclass(frozen=True)
class Asked:
    """One finished trial that the launcher counts."""

    path: Path
    method: str
    """Its label on the leaderboard."""


@dataclass
class Rows:
    """Rows of one protocol and one list of target images, and what a reader has to know."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_rows(trials: Sequence[Asked], full: bool) -> Rows:
    """Rows of the largest group of trials that were measured alike; `full`: of quality-full.json."""
    found = {trial: quality for trial in trials if (quality := stored_quality(trial.path, full)) is not None}
    result = Rows()
    if len(found) < len(trials):
        command = "segda quality TRIAL --full" if full else "segda quality TRIAL"
        result.notes.append(
            f"{len(trials) - len(found)} finished trials are not measured: `{command}` does it"
        )
    groups = {trial: _measured_alike(trial.path, quality) for trial, quality in found.items()}
    if not groups:
        return result
    (largest, count), *_ = Counter(groups.values()).most_common(1)
    if count < len(groups):
        result.notes.append(
            f"{len(groups) - count} trials of another protocol, or measured on other target images or sizes, "
            "are left out"
        )
    chosen = {trial: found[trial] for trial, group in groups.items() if group == largest}
    for trial, quality in chosen.items():
        result.rows += rows_of(trial, quality, full)
    result.notes += _warnings(list(chosen), list(chosen.values()))
    return result


def stored_quality(trial: Path, full: bool) -> dict[str, Any] | None:
    """What the trial itself stored, or a later measurement of its final weights."""
    files = TrialFiles(trial)
    if full:
        later: dict[str, Any] | None = read_json(files.evaluations / "quality-full.json")
        return later
    own: dict[str, Any] | None = (read_json(files.metrics) or {}).get("quality")
    return own or read_json(files.evaluations / "quality.json")


def rows_of(trial: Asked, quality: dict[str, Any], full: bool) -> list[Row]:
    """The last checkpoint, and those before it whose quality stands in the history."""
    files = TrialFiles(trial.path)
    metrics = read_json(files.metrics)
    assert metrics is not None
    name, steps = trial.path.name, metrics["steps"]
    rows = [Row(name, trial.method, steps, True, metrics["miou"], quality["metrics"])]
    if full:
        return rows
    earlier = [row for row in trial_history(files) if "quality" in row and row["step"] < steps]
    return [
        Row(name, trial.method, row["step"], False, row["miou"], row["quality"]) for row in earlier
    ] + rows


def _measured_alike(trial: Path, quality: dict[str, Any]) -> str:
    """What must be equal for mIoU and metrics to be compared. Source lists may differ: then it is said."""
    metrics = read_json(TrialFiles(trial).metrics)
    assert metrics is not None
    on = quality["on"]
    alike = [metrics["protocol"], on["target_list"], on["target_images"], on["size"]]
    return json.dumps(alike, sort_keys=True)


def _warnings(trials: Sequence[Asked], measured: Sequence[dict[str, Any]]) -> list[str]:
    warnings = []
    sources = {quality["on"]["source_list"] for quality in measured} - {None}
    if len(sources) > 1:
        warnings.append(f"source images differ: {len(sources)} lists, between which source metrics shift")
    if not all(quality["on"]["source_held_out"] for quality in measured if quality["on"]["source_images"]):
        warnings.append("no source holdout: source metrics are on images that were trained on")
    used = sum(
        bool((read_json(TrialFiles(trial.path).metrics) or {})["uses_target_labels"]) for trial in trials
    )
    if used:
        warnings.append(f"{used} of {len(trials)} trials were trained with target labels")
    lacking = [
        f"{name} ({count})"
        for name in METRICS
        if (count := sum(quality["metrics"].get(name) is None for quality in measured))
    ]
    if lacking:
        warnings.append("null in so many trials: " + ", ".join(lacking))
    return warnings
