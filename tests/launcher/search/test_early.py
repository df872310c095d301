"""Early stopping: what a sweep must offer for it, said before anything starts."""

from pathlib import Path
from typing import Any

import pytest

from launcher.executors.base import EarlyStopping
from launcher.search.early import early_stopping
from launcher.sweep import expand
from segda_core.errors import ConfigError
from sweeps import load

BASE = {
    "steps": 100,
    "method": {"name": "joint"},
    "optimizer": {"name": "sgd"},
    "evaluation": {"every": 25},
}


def of_a_search(
    folder: Path, executor: str = "ray", base: Any = BASE, **changes: Any
) -> EarlyStopping | None:
    search = {
        "trials": 2,
        "space": {"optimizer.lr": {"uniform": [0.1, 0.2]}},
        "scheduler": {"name": "asha", "grace_steps": 25},
        **changes,
    }
    sweep = load(folder, base=base, search=search, executor={"name": executor})
    return early_stopping(sweep, expand(sweep).trials, [], folder / "runs")


def test_it_holds_what_the_scheduler_needs(tmp_path: Path) -> None:
    early = of_a_search(tmp_path)
    assert early is not None
    assert (early.grace_steps, early.reduction_factor, early.steps) == (25, 4, 100)
    assert [folder.parent for folder in early.earlier] == [tmp_path / "runs" / "demo"] * 2
    assert of_a_search(tmp_path, "local", scheduler="none") is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"executor": "local"},
            "asha compares trials while they run, which executor ray does; found executor",
        ),
        ({"base": {**BASE, "evaluation": {"every": 0}}}, "set evaluation.every below `steps`"),
        ({"scheduler": {"name": "asha", "grace_steps": 100}}, "grace_steps: found 100; allowed: less than"),
        ({"space": {"steps": {"int": [50, 90]}}}, "give all the same `steps`"),
    ],
)
def test_where_it_cannot_work_it_says_why(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        of_a_search(tmp_path, **changes)
