"""Stopping a search's trials early: what the sweep must offer for it, and what the executor must know."""

from collections.abc import Sequence
from pathlib import Path

from launcher.executors.base import EarlyStopping
from launcher.search.adaptive import search_of_sweep
from launcher.search.config import AshaConfig
from launcher.sweep import Sweep
from launcher.trial import Trial
from segda_core.config import TrialConfig
from segda_core.errors import ConfigError


def early_stopping(
    sweep: Sweep, trials: Sequence[Trial], ends: Sequence[Trial], runs: Path
) -> EarlyStopping | None:
    """For the executor; None without a scheduler. `ConfigError` where it cannot work.

    `ends` are trials that may be proposed.
    """
    search = search_of_sweep(sweep)
    if search is None or not isinstance(search.scheduler, AshaConfig):
        return None
    configs = [trial.config for trial in [*trials, *ends] if isinstance(trial.config, TrialConfig)]
    if faults := _faults(sweep, search.scheduler, configs):
        raise ConfigError([f"{sweep.file}: {fault}" for fault in faults])
    return EarlyStopping(
        grace_steps=search.scheduler.grace_steps,
        reduction_factor=search.scheduler.reduction_factor,
        steps=configs[0].steps,
        earlier=tuple(trial.files(runs).root for trial in trials),
    )


def _faults(sweep: Sweep, asha: AshaConfig, configs: Sequence[TrialConfig]) -> list[str]:
    faults = []
    if sweep.executor.name != "ray":
        faults.append(
            f"search.scheduler: asha compares trials while they run, which executor ray does; found "
            f"executor {sweep.executor.name}; add --executor ray, or say scheduler: none"
        )
    if len({config.steps for config in configs}) > 1:
        faults.append("search.scheduler: asha compares trials step by step; give all the same `steps`")
    if not all(0 < config.evaluation.every < config.steps for config in configs):
        faults.append(
            "search.scheduler: asha goes by the mIoU on the way; set evaluation.every below `steps`"
        )
    if any(asha.grace_steps >= config.steps for config in configs):
        faults.append(f"search.scheduler.grace_steps: found {asha.grace_steps}; allowed: less than `steps`")
    return faults
