"""The best configuration of a search, written as a sweep of its own that repeats it over seeds."""

from pathlib import Path
from typing import Any

import yaml

from launcher.expand.layers import put
from launcher.status import read_status
from launcher.sweep import Expansion, Sweep
from launcher.trials.states import State
from segda_core.errors import Json
from segda_core.files import write_text

SEEDS = [0, 1, 2]


def write_best(sweep: Sweep, expansion: Expansion, runs: Path) -> Path | None:
    """Write `runs/SWEEP/SWEEP_best.yaml`; None where no trial has a result."""
    statuses = [read_status(trial.files(runs)) for trial in expansion.trials]
    done = [status for status in statuses if status.state is State.DONE and status.miou is not None]
    if not done:
        return None
    best = max(done, key=lambda status: status.miou or 0.0)
    name = f"{sweep.name}_best"
    content = {
        "name": name,
        "description": f"The best of {len(done)} finished trials of {sweep.name}, {best.id}, over seeds",
        "data": sweep.data,
        "base": _base(expansion, best.id),
        "grid": {"seed": SEEDS},
        "executor": sweep.model.executor.model_dump(mode="json", exclude_unset=True),
    }
    path = runs / sweep.name / f"{name}.yaml"
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return path


def _base(expansion: Expansion, trial_id: str) -> dict[str, Any]:
    """What the user and the search said about a trial, without what its data profile says."""
    raw: Json = {}
    for layer in expansion.layers[trial_id]:
        if layer.kind != "profile":
            raw = put(raw, [str(key) for key in layer.path], layer.value)
    return {key: value for key, value in raw.items() if key != "seed"}
