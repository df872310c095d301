"""`segda leaderboard`: prints in the form asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from launcher.leaderboard.export import to_csv, to_json
from launcher.leaderboard.latex import latex, latex_references
from launcher.leaderboard.notes import listing
from launcher.leaderboard.page import page
from launcher.leaderboard.reference import references_of
from launcher.leaderboard.render import markdown, markdown_references, print_references, print_tables
from launcher.leaderboard.seen import Seen

Format = Literal["terminal", "csv", "json", "markdown", "latex", "html", "notes"]


def show(
    seen: Seen,
    console: Console,
    fmt: Format = "terminal",
    *,
    per_class: bool = False,
    reference: Sequence[Path] = (),
) -> None:
    """Print the leaderboard of one or several sweeps.

    CSV, JSON and HTML always hold the classes. Published numbers from the folders `reference` follow, except
    in the listing by trial.
    """
    found, tables = seen.found, seen.tables
    published = references_of(tables, reference)
    if fmt == "terminal":
        print_tables(tables, found, console, per_class=per_class)
        if reference:
            print_references(published, console)
        return
    if fmt == "csv":
        text = to_csv(tables, published)
    elif fmt == "json":
        text = to_json(tables, found, published if reference else None)
    elif fmt == "markdown":
        text = markdown(tables, found, per_class=per_class)
        text += f"\n{markdown_references(published)}" if reference else ""
    elif fmt == "latex":
        text = latex(tables, found, per_class=per_class) + latex_references(published)
    elif fmt == "html":
        text = page(tables, found, published)
    else:
        text = listing(tables)
    console.out(text, end="", highlight=False)
