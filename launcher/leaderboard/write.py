"""The derived files `runs/SWEEP/leaderboard.*`, rewritten by whoever is alive when a trial finishes."""

from pathlib import Path

from launcher.leaderboard.collect import Today
from launcher.leaderboard.export import to_csv, to_json
from launcher.leaderboard.latex import latex
from launcher.leaderboard.notes import listing
from launcher.leaderboard.page import page
from launcher.leaderboard.render import markdown
from launcher.leaderboard.seen import Seen, finished_trials, see
from segda_core.files import write_text


def write_leaderboards(sweep_dir: Path, *, today: Today | None = None, seen: Seen | None = None) -> None:
    """Write leaderboard.md, .html, .csv, .json, .tex and .txt (IoU by class and trial), each whole or not.

    `seen` is what a look just now found; without it the first look is taken here. Written again where a trial
    finished meanwhile: of several writers the last one then knows every result.
    """
    seen = seen or see([sweep_dir.name], sweep_dir.parent, today=today)
    _write(sweep_dir, seen)
    while seen.finished != finished_trials(sweep_dir):
        seen = see([sweep_dir.name], sweep_dir.parent, today=today)
        _write(sweep_dir, seen)


def _write(sweep_dir: Path, seen: Seen) -> None:
    texts = {
        "md": markdown(seen.tables, seen.found, per_class=True),
        "csv": to_csv(seen.tables),
        "json": to_json(seen.tables, seen.found),
        "html": page(seen.tables, seen.found, folder=sweep_dir),
        "tex": latex(seen.tables, seen.found, per_class=True),
        "txt": listing(seen.tables),
    }
    for suffix, text in texts.items():
        write_text(sweep_dir / f"leaderboard.{suffix}", text)
