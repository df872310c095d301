"""Options that are set and never act, as trials end before: rows that would claim them in vain."""

from collections.abc import Sequence

from launcher.trial import Trial
from segda_core.config import TrialConfig


def idle(trials: Sequence[Trial]) -> list[str]:
    """A sentence for each kind of such trials."""
    found: dict[str, None] = {}
    for trial in trials:
        if isinstance(trial.config, TrialConfig):
            stage = "" if trial.stage is None else f"{trial.stage}: "
            for setting in trial.config.idle:
                text = f"trials of {trial.config.steps} steps end before {setting}, which never acts"
                found[f"{stage}{text}"] = None
    return list(found)
