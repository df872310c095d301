"""plan.json: the ids of a sweep's full expansion for each data profile, which leaderboards cover."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from launcher.sweep import Expansion, Sweep
from segda_core.errors import ConfigError
from segda_core.layout import read_json, write_json

SCHEMA = 1


def plan_file(runs: Path, sweep: str) -> Path:
    """Where a sweep's plan lies."""
    return runs / sweep / "plan.json"


def read_plan(runs: Path, sweep: str) -> dict[str, list[str]]:
    """Data name -> ids of the full expansion; empty where nothing was planned yet."""
    path = plan_file(runs, sweep)
    try:
        raw = read_json(path)
        return {} if raw is None else {data: [str(each) for each in ids] for data, ids in raw["data"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError([f"{path}: not a plan; delete it, the next `segda sweep` writes it"]) from error


def write_plan(runs: Path, sweep: Sweep, expansion: Expansion) -> None:
    """Store the full expansion (never a selection of it).

    `--set` makes other trials than the sweep file says, so that with it only an absent plan is written.
    """
    with locked_plan(runs / sweep.name):
        if not (sweep.overrides and sweep.data in read_plan(runs, sweep.name)):
            store_plan(runs, sweep, [trial.id for trial in expansion.trials])


def store_plan(runs: Path, sweep: Sweep, ids: Sequence[str]) -> None:
    """Make these the planned trials of the sweep's data; under `locked_plan`."""
    plan = read_plan(runs, sweep.name)
    if plan.get(sweep.data) != ids:
        write_json(plan_file(runs, sweep.name), {"schema": SCHEMA, "data": {**plan, sweep.data: list(ids)}})


@contextmanager
def locked_plan(folder: Path) -> Iterator[None]:
    """One launcher at a time: two may plan the same sweep on different data."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".plan.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
