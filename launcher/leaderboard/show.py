"""`segda leaderboard`: collect, group, rank and print in the form asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from launcher.leaderboard.collect import Today, collect
from launcher.leaderboard.export import to_csv, to_json
from launcher.leaderboard.notes import listing
from launcher.leaderboard.render import markdown, print_tables
from launcher.leaderboard.rows import build_tables

Format = Literal["terminal", "csv", "json", "markdown", "notes"]


def show(
    names: Sequence[str],
    runs: Path,
    console: Console,
    fmt: Format = "terminal",
    *,
    per_class: bool = False,
    all_trials: bool = False,
    today: Today | None = None,
) -> None:
    """Print the leaderboard of one or several sweeps; `ConfigError` where a sweep does not exist.

    CSV and JSON always hold the classes.
    """
    found = collect(names, runs, all_trials=all_trials, today=today)
    tables = build_tables(found)
    if fmt == "terminal":
        print_tables(tables, found.problems, console, per_class=per_class)
        return
    if fmt == "csv":
        text = to_csv(tables)
    elif fmt == "json":
        text = to_json(tables, found)
    elif fmt == "markdown":
        text = markdown(tables, found.problems, per_class=per_class)
    else:
        text = listing(tables)
    console.out(text, end="", highlight=False)
