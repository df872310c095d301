"""The leaderboard for programs: CSV with a line for each row and size, JSON with every trial."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from launcher.leaderboard.collect import Collection, Record
from launcher.leaderboard.rank import Entry, Section, rank
from launcher.leaderboard.reference import Reference, as_json, csv_lines
from launcher.leaderboard.rows import Row, Table
from launcher.leaderboard.words import distinct
from segda_core.classes import CLASSES


def to_csv(tables: Sequence[Table], references: Sequence[Reference] = ()) -> str:
    """Scores in percent with two decimals; a row without a target size has a line for every size.

    Published rows follow, with columns of their own behind the others.
    """
    axes = sorted({axis for table in tables for axis in table.axes})
    classes = [name for name in CLASSES if any(name in table.classes for table in tables)]
    lines = [
        {"data": table.data, **_line(section, entry, axes, classes)}
        for table in tables
        for section in rank(table)
        for entry in section.entries
    ]
    lines += [line for reference in references for line in csv_lines(reference)]
    text = io.StringIO()
    if lines:
        columns = dict.fromkeys(column for line in lines for column in line)
        writer = csv.DictWriter(text, fieldnames=list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return text.getvalue()


def to_json(tables: Sequence[Table], found: Collection, references: Sequence[Reference] | None = None) -> str:
    """Everything: rows with their ranks by size, trials, problems; scores are fractions.

    Published rows only where they are asked for: None leaves them out.
    """
    document = {
        "schema": 1,
        "sweeps": list(found.sweeps),
        "tables": [_table(table) for table in tables],
        "problems": found.problems,
        **({} if references is None else {"references": [as_json(each) for each in references]}),
    }
    return json.dumps(document, allow_nan=False) + "\n"


def _line(section: Section, entry: Entry, axes: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    row = entry.row
    return {
        "protocol": section.protocol,
        "size": section.size,
        "rank": entry.rank,
        "method": row.method,
        "target_images": row.results[0].target_images if row.results else row.own_size,
        "labelled_images": row.labelled or 0,
        "uses_target_labels": str(row.uses_target_labels).lower(),
        **{axis: row.axes.get(axis, "") for axis in axes},
        "miou": _percent(row.mean),
        "miou_std": _percent(row.std),
        "pixel_accuracy": _percent(row.pixel_accuracy),
        "seeds_finished": len(row.counted),
        "seeds_planned": row.planned,
        "notes": ", ".join(entry.marks),
        **{name: _percent(row.iou(name)) for name in classes},
    }


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f}"


def _table(table: Table) -> dict[str, Any]:
    sections = rank(table)
    places: dict[int, list[tuple[Section, Entry]]] = defaultdict(list)
    for section in sections:
        for entry in section.entries:
            places[id(entry.row)].append((section, entry))
    return {
        "data": table.data,
        "axes": table.axes,
        "classes": table.classes,
        "rows": [_row(row, table, places[id(row)]) for row in distinct(sections)],
        "unprepared": table.unprepared,
    }


def _row(row: Row, table: Table, places: Sequence[tuple[Section, Entry]]) -> dict[str, Any]:
    return {
        "method": row.method,
        "size": row.size,
        "own_size": row.own_size,
        "labelled": row.labelled,
        "uses_target_labels": row.uses_target_labels,
        "axes": row.axes,
        "protocol_label": places[0][0].protocol,
        "protocol": row.protocol,
        "ranks": [{"size": section.size, "rank": entry.rank} for section, entry in places if entry.rank],
        "miou": row.mean,
        "miou_std": row.std,
        "pixel_accuracy": row.pixel_accuracy,
        "iou": {name: row.iou(name) for name in table.classes},
        "seeds_finished": len(row.counted),
        "seeds_planned": row.planned,
        "complete": row.complete,
        "marks": list(dict.fromkeys(mark for _, entry in places for mark in entry.marks)),
        "trials": [_trial(record) for record in row.records],
    }


def _trial(record: Record) -> dict[str, Any]:
    status, result, subset = record.status, record.result, record.config.target.subset
    return {
        "id": record.id,
        "sweep": record.sweep,
        "stage": record.stage,
        "seed": record.config.seed,
        "subset_seed": None if subset is None else subset.seed,
        "state": None if status is None else str(status.state),
        "cause": None if status is None else status.cause,
        "problem": record.problem,
        "counted": record.counted,
        "older_code": record.older_code,
        "miou": None if result is None else result.miou,
        "pixel_accuracy": None if result is None else result.pixel_accuracy,
        "iou": None if result is None else result.iou,
    }
