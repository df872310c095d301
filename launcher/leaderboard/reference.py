"""Published numbers to see beside a leaderboard: marked by protocol and by what they used, never ranked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from launcher.leaderboard.rows import Table
from segda_core.errors import load_yaml, parse

REFERENCE_COLUMNS = ("from", "name", "method", "used", "target images", "steps", "protocol", "mIoU")


class Strict(BaseModel):
    """Base of what a file of reference numbers holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Published(Strict):
    """One row."""

    name: str
    method: str
    used: str
    """Beside the labelled source."""
    target_images: int | None
    steps: int | None
    protocol: str
    miou: float | None
    """In percent; None where a run was announced and not reported."""


class Reference(Strict):
    """`sweeps/reference/DATA.yaml`."""

    data: str
    notes: list[Published]
    papers: list[Published]


def references_of(tables: Sequence[Table], folders: Sequence[Path]) -> list[Reference]:
    """Those on the tables' data, as far as there are any, each from the first folder that has it."""
    found = []
    for table in tables:
        path = next((folder / f"{table.data}.yaml" for folder in folders if _has(folder, table.data)), None)
        if path is not None:
            found.append(parse(Reference, load_yaml(path), str(path)))
    return found


def _has(folder: Path, data: str) -> bool:
    return (folder / f"{data}.yaml").is_file()


def csv_lines(reference: Reference) -> list[dict[str, Any]]:
    """A line for each row, under a leaderboard's columns as far as it has them."""
    return [
        {
            "data": reference.data,
            "protocol": row.protocol,
            "method": row.method,
            "target_images": row.target_images,
            "miou": "" if row.miou is None else f"{row.miou:.2f}",
            "notes": "published, not ranked",
            "from": part,
            "name": row.name,
            "used": row.used,
            "steps": row.steps,
        }
        for part, row in _rows(reference)
    ]


def as_json(reference: Reference) -> dict[str, Any]:
    """Its rows; mIoU as a fraction, like the leaderboard's own."""
    rows = [{"from": part, **row.model_dump(), "miou": _fraction(row.miou)} for part, row in _rows(reference)]
    return {"data": reference.data, "rows": rows}


def reference_lines(reference: Reference) -> list[list[str]]:
    """A line of cells for each row, as `REFERENCE_COLUMNS`."""
    return [
        [
            part,
            row.name,
            row.method,
            row.used,
            _text(row.target_images),
            _text(row.steps),
            row.protocol,
            "-" if row.miou is None else f"{row.miou:.2f}",
        ]
        for part, row in _rows(reference)
    ]


def reference_title(reference: Reference) -> str:
    """What the rows are."""
    return f"{reference.data}: published numbers, not ranked; compare equal protocols and equal use alone"


def _rows(reference: Reference) -> list[tuple[str, Published]]:
    """Each with where it is from."""
    parts = {"notes": reference.notes, "papers": reference.papers}
    return [(part, row) for part, rows in parts.items() for row in rows]


def _fraction(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 6)


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)
