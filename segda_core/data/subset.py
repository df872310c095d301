"""Which target images a trial may open, and which source images it never trains on.

Names are ordered by the hash of seed and name: the order does not depend on how a folder is listed, on any
random generator's version or on the other images, and the first n are contained in the first n + 1.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence

from segda_core.config import SubsetConfig
from segda_core.data.index import ImageRecord
from segda_core.errors import DataError


def pick_subset(names: Sequence[str], subset: SubsetConfig) -> list[str]:
    """The chosen names in their order of choice: for one seed every smaller subset is a prefix."""
    size = len(names) if subset.size == "all" else subset.size
    if size > len(names):
        raise DataError(f"target.subset.size is {size}, but there are only {len(names)} training images")
    ordered = sorted(names) if subset.pick == "first" else shuffled(names, f"subset {subset.seed}")
    return ordered[:size]


def source_split(
    records: Sequence[ImageRecord], holdout: float | Collection[str] | None
) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """(train, held out), both in the given order; holdout is a share or a collection of names."""
    if holdout is None:
        return list(records), []
    if isinstance(holdout, float):
        count = max(1, round(holdout * len(records)))
        holdout = shuffled((record.name for record in records), "holdout")[:count]
    names = set(holdout)
    train = [record for record in records if record.name not in names]
    if not train:
        raise DataError(f"source.holdout leaves none of {len(records)} source images to train on")
    return train, [record for record in records if record.name in names]


def shuffled(names: Iterable[str], salt: str) -> list[str]:
    """Names in the order of their salted SHA-256."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{salt}\n{name}".encode()).digest())
