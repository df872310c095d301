"""`segda quality SWEEP`: which trials count, for the report that the training core makes of their quality."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from launcher.launching.today import read_today
from launcher.leaderboard.axes import method_labels
from launcher.leaderboard.collect import collect
from launcher.trials.find import choose, find_sweep
from segda_core.errors import ConfigError


def report_request(
    name: str, runs: Path, only: Sequence[str], full: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """The finished trials that `only` chooses and the leaderboard counts, with their methods.

    `say` is told what `only` cannot look at.
    """
    sweep = find_sweep(name, runs)
    chosen = {files.root.name for files in choose(sweep, only, say, "--only: ")}
    records = collect([name], runs, today=read_today([sweep])).records
    counted = [record for record in records if record.counted and record.id in chosen]
    if not counted:
        raise ConfigError([f"{sweep}: no finished trial to report on"])
    return {
        "sweep": name,
        "folder": str(sweep / "quality"),
        "full": full,
        "trials": [
            {"path": str(sweep / record.id), "method": method}
            for record, method in zip(counted, method_labels(counted), strict=True)
        ],
    }
