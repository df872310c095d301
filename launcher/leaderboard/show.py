"""`segda leaderboard`: collect, group, rank and print in the form asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from launcher.leaderboard.collect import Today, collect
from launcher.leaderboard.export import to_csv, to_json
from launcher.leaderboard.notes import listing
from launcher.leaderboard.reference import references_of
from launcher.leaderboard.render import markdown, markdown_references, print_references, print_tables
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
    reference: Sequence[Path] = (),
    today: Today | None = None,
) -> None:
    """Print the leaderboard of one or several sweeps; `ConfigError` where a sweep does not exist.

    CSV and JSON always hold the classes. Published numbers from the folders `reference` follow, except in the
    listing by trial.
    """
    found = collect(names, runs, all_trials=all_trials, today=today)
    tables = build_tables(found)
    published = references_of(tables, reference)
    if fmt == "terminal":
        print_tables(tables, found.problems, console, per_class=per_class)
        if reference:
            print_references(published, console)
        return
    if fmt == "csv":
        text = to_csv(tables, published)
    elif fmt == "json":
        text = to_json(tables, found, published if reference else None)
    elif fmt == "markdown":
        text = markdown(tables, found.problems, per_class=per_class)
        text += f"\n{markdown_references(published)}" if reference else ""
    else:
        text = listing(tables)
    console.out(text, end="", highlight=False)
