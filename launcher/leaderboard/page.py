"""The leaderboard as one HTML page: tables, scores over target images, IoU per class, predictions, trials."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from launcher.leaderboard import chart
from launcher.leaderboard.collect import Collection, Record
from launcher.leaderboard.rank import rank, state_word
from launcher.leaderboard.reference import REFERENCE_COLUMNS, Reference, reference_lines, reference_title
from launcher.leaderboard.render import NUMBERS, REFERENCE_NUMBERS, nothing_found
from launcher.leaderboard.rows import Row, Table
from launcher.leaderboard.words import (
    cells,
    class_columns,
    class_lines,
    distinct,
    footnotes,
    headers,
    name,
    title,
)
from launcher.words import percent
from segda_core.trials.layout import TrialFiles

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Of curves in turn; the colour-blind tell them apart too (Okabe and Ito, jfly.uni-koeln.de/color)."""


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    cells: list[tuple[str, str]]
    """Column and text."""
    kind: str
    """How it is set: `best`, `ranked` or `apart`."""
    share: float
    """The score's share of the best one, for the bar behind it."""


@dataclass(frozen=True)
class Picture:
    """Predictions of a row's first trial."""

    words: str
    place: str
    """Its address, as the page names it."""


def page(
    tables: Sequence[Table],
    found: Collection,
    published: Sequence[Reference] = (),
    *,
    folder: Path | None = None,
) -> str:
    """The whole page; it holds everything but the pictures of predictions.

    Those are named as seen from `folder`, where the page will lie; without one, by where they are here.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        name=", ".join(found.sweeps),
        tables=[_table(table, folder) for table in tables],
        problems=found.problems,
        nothing=None if tables else nothing_found(found),
        references=[(reference_title(each), reference_lines(each)) for each in published],
        reference_columns=REFERENCE_COLUMNS,
        numbers={*NUMBERS, *REFERENCE_NUMBERS},
        field=chart,
        colours=COLOURS,
    )


def _table(table: Table, folder: Path | None) -> dict[str, Any]:
    """What the template shows of it."""
    sections = rank(table)
    columns, rows = headers(table, sections), distinct(sections)
    best = max((row.mean or 0.0 for row in rows), default=0.0) or 1.0
    return {
        "title": title(table, sections),
        "charts": chart.charts(sections),
        "columns": columns,
        "sections": [
            [
                Line(
                    list(zip(columns, cells(entry, section, sections), strict=True)),
                    _kind(entry.rank),
                    (entry.row.mean or 0.0) / best,
                )
                for entry in section.entries
            ]
            for section in sections
        ],
        "notes": footnotes(table, sections, per_class=True),
        "classes": class_columns(table),
        "class_lines": class_lines(table, sections),
        "pictures": [
            picture for row in rows if (picture := _picture(row, name(row, sections), folder)) is not None
        ],
        "trials": [_trial(record) for record in sorted(table.records, key=lambda record: record.id)],
        "unprepared": table.unprepared,
    }


def _kind(place: int | None) -> str:
    if place is None:
        return "apart"
    return "best" if place == 1 else "ranked"


def _picture(row: Row, words: str, folder: Path | None) -> Picture | None:
    """Of the first trial that has one, by seed."""
    for record in sorted(row.records, key=lambda record: record.config.seed):
        if record.result is not None:
            path = TrialFiles(record.folder / record.id).attempt(record.result.attempt).preview
            if path.is_file():
                told = f"{words}, seed {record.config.seed}: {percent(record.result.miou)}"
                return Picture(told, _address(path, folder))
    return None


def _address(path: Path, folder: Path | None) -> str:
    return (
        path.resolve().as_uri() if folder is None else quote(Path(os.path.relpath(path, folder)).as_posix())
    )


def _trial(record: Record) -> list[str]:
    """Its id, state, mIoU and pixel accuracy."""
    result = record.result
    scores = [None, None] if result is None else [result.miou, result.pixel_accuracy]
    return [record.id, "done" if record.counted else state_word(record), *map(percent, scores)]
