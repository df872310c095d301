"""The derived files `runs/SWEEP/leaderboard.*`, rewritten by whoever is alive when a trial finishes."""

from pathlib import Path

from launcher.leaderboard.collect import Today, collect
from launcher.leaderboard.export import to_csv, to_json
from launcher.leaderboard.notes import listing
from launcher.leaderboard.render import markdown
from launcher.leaderboard.rows import build_tables
from segda_core.layout import write_text


def write_leaderboards(sweep_dir: Path, *, today: Today | None = None) -> None:
    """Write leaderboard.md, .csv, .json and .txt (IoU by class and trial), each whole or not at all.

    Written again where a trial finished meanwhile: of several writers the last one then knows every result.
    """
    finished = None
    while finished != (finished := _finished(sweep_dir)):
        _write(sweep_dir, today)


def _write(sweep_dir: Path, today: Today | None) -> None:
    found = collect([sweep_dir.name], sweep_dir.parent, today=today)
    tables = build_tables(found)
    texts = {
        "md": markdown(tables, found.problems, per_class=True),
        "csv": to_csv(tables),
        "json": to_json(tables, found),
        "txt": listing(tables),
    }
    for suffix, text in texts.items():
        write_text(sweep_dir / f"leaderboard.{suffix}", text)


def _finished(sweep_dir: Path) -> frozenset[str]:
    """Trials with a result, so far."""
    return frozenset(path.parent.name for path in sweep_dir.glob("*/metrics.json"))
