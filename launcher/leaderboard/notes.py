"""The listing that evaluation scripts of this field print, one for each trial with a result."""

from collections.abc import Sequence

from launcher.leaderboard.collect import Record, Result
from launcher.leaderboard.rows import Table
from segda_core.classes import CLASSES


def listing(tables: Sequence[Table]) -> str:
    """For each trial its id, a line for each declared class and one for the mean, in percent."""
    records = [record for table in tables for record in sorted(table.records, key=lambda record: record.id)]
    return "\n".join(_trial(record, record.result) for record in records if record.result is not None)


def _trial(record: Record, result: Result) -> str:
    declared = [name for name in CLASSES if name in result.classes]
    lines = [record.id if record.counted else f"{record.id} (not ranked)"]
    for name in declared:
        value = result.iou.get(name)
        lines.append(f"===>{name}:  {'nan' if value is None else f'{100 * value:.2f}'}")
    return "\n".join([*lines, f"===> mIoU: {100 * result.miou:.2f}", ""])
