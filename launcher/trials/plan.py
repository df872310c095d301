"""plan.json: the ids of a sweep's full expansion for each data profile, which leaderboards cover."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from launcher.sweep import Expansion, Sweep
from segda_core.errors import ConfigError
from segda_core.files import BROKEN, read_json, write_json

SCHEMA = 1


def plan_file(runs: Path, sweep: str) -> Path:
    """Where a sweep's plan lies."""
    return runs / sweep / "plan.json"


def read_plan(runs: Path, sweep: str) -> dict[str, list[str]]:
    """Data name -> ids of the full expansion; empty where nothing was planned yet."""
    return _read(runs, sweep)[0]


def sweep_file(runs: Path, sweep: str, data: str) -> Path | None:
    """The sweep file that was planned on this data last; None where a plan does not say."""
    file = _read(runs, sweep)[1].get(data)
    return None if file is None else Path(file)


def _read(runs: Path, sweep: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Ids and sweep file for each data name."""
    path = plan_file(runs, sweep)
    try:
        raw = read_json(path)
        raw = {"data": {}} if raw is None else raw
        ids = {data: [str(each) for each in planned] for data, planned in raw["data"].items()}
        return ids, {data: str(file) for data, file in raw.get("files", {}).items()}
    except BROKEN as error:
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
    before, files = _read(runs, sweep.name)
    planned, known = {**before, sweep.data: list(ids)}, {**files, sweep.data: str(sweep.file.resolve())}
    if (planned, known) != (before, files):
        write_json(plan_file(runs, sweep.name), {"schema": SCHEMA, "data": planned, "files": known})


@contextmanager
def locked_plan(folder: Path) -> Iterator[None]:
    """One launcher at a time: two may plan the same sweep on different data."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".plan.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
