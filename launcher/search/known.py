"""What is known about a search's trials: the ground on which an adaptive one proposes the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.status import read_status
from launcher.trial import Trial
from launcher.trials.states import State
from segda_core.errors import Json
from segda_core.trials.trial_history import newest_rows

POOR_CAUSES = ("nan", "oom")
"""Failures that say something about a configuration: it counts as one of mIoU 0."""


@dataclass(frozen=True)
class Known:
    """A trial of the search as it stands."""

    point: Mapping[str, Json]
    miou: float | None = None
    """Its result; None while it has none."""
    on_the_way: Mapping[int, float] | None = None
    """Step -> mIoU, where a scheduler stopped it."""


def read_known(trial: Trial, runs: Path) -> Known:
    """From the trial's directory."""
    files = trial.files(runs)
    status = read_status(files)
    if status.state is State.DONE:
        return Known(trial.point, status.miou)
    if status.state is State.FAILED and status.cause in POOR_CAUSES:
        return Known(trial.point, 0.0)
    if status.state is State.STOPPED:
        return Known(trial.point, None, {row["step"]: row["miou"] for row in newest_rows(files, "miou")})
    return Known(trial.point)
