"""Classes that no label shows. Apart from the manifest, which need not wait for numpy where nobody asks."""

from collections.abc import Callable, Sequence
from pathlib import Path

from segda_core.classes import CLASSES
from segda_core.data.index import ImageRecord
from segda_core.data.labels import Counts, label_counts


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
        if record.label is not None:
            _, pixels = count(record.label)
            missing -= {name for name in missing if pixels[CLASSES.index(name)]}
    return [name for name in classes if name in missing]
