"""Sweeps as one look at their directories found them, to be shown and written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.leaderboard.collect import Collection, Today, collect
from launcher.leaderboard.group import build_tables
from launcher.leaderboard.rows import Table
from launcher.trials.find import trial_names


@dataclass(frozen=True)
class Seen:
    """What leaderboards tell."""

    found: Collection
    tables: list[Table]
    finished: frozenset[str]
    """Trials that had a result before the look: the others of `found` got theirs meanwhile."""


def see(names: Sequence[str], runs: Path, *, all_trials: bool = False, today: Today | None = None) -> Seen:
    """Look at some sweeps; `ConfigError` where one does not exist."""
    finished = frozenset(trial for name in names for trial in finished_trials(runs / name))
    found = collect(names, runs, all_trials=all_trials, today=today)
    return Seen(found, build_tables(found), finished)


def finished_trials(sweep: Path) -> frozenset[str]:
    """Trials with a result, so far."""
    return frozenset(trial_names(sweep, "metrics.json")) if sweep.is_dir() else frozenset()
