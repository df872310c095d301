"""Classes that no label shows. Apart from the manifest, which need not wait for numpy where nobody asks."""

from collections.abc import Callable, Sequence
from pathlib import Path

from segda_core.classes import CLASSES
from segda_core.data.index import ImageRecord
from segda_core.data.labels import Counts, label_counts
from segda_core.errors import DataError


def absent_classes(
    records: Sequence[ImageRecord],
    classes: Sequence[str],
    count: Callable[[Path], tuple[tuple[int, int], Counts]] = label_counts,
) -> list[str]:
    """Classes without one labelled pixel in the records; reads labels until every class was seen."""
    missing = set(classes)
    for record in records:
        if not missing:
            break
        missing -= _shown(record, count)
    return [name for name in classes if name in missing]


def refuse_absent(absent: Sequence[str]) -> None:
    """`DataError` where declared classes have no truth in validation."""
    if absent:
        raise DataError(
            f"evaluation.classes declares {', '.join(absent)}, of which the validation images hold no pixel "
            "(`segda data check` lists every class's share)"
        )


def _shown(record: ImageRecord, count: Callable[[Path], tuple[tuple[int, int], Counts]]) -> set[str]:
    """Classes that the label of a record shows; none where it cannot be read and may be skipped."""
    if record.label is None:
        return set()
    try:
        _, pixels = count(record.label)
    except DataError:
        if not record.may_skip:
            raise
        return set()
    return {name for name, number in zip(CLASSES, pixels, strict=True) if number}
