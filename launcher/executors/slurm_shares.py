"""How trials are cut into job arrays, and how these divide the number of trials that may run at once."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from launcher.executors.slurm_arrays import Shape

Part = tuple[list[int], int | None]
"""Positions of the trials of one array, and how many of them may run at once; None: any number."""


def cut(shapes: Sequence[Shape], most: int, allowed: int | None) -> list[Part]:
    """Arrays for trials of these shapes, each of one shape and at most `most` trials.

    Together they run `allowed` trials at once, or one each where there are more arrays than that.
    """
    in_order = sorted(range(len(shapes)), key=lambda position: shapes[position])
    parts = []
    for _, group in groupby(in_order, key=lambda position: shapes[position]):
        alike = list(group)
        parts += [alike[first : first + most] for first in range(0, len(alike), most)]
    if allowed is None:
        return [(part, None) for part in parts]
    return list(zip(parts, shares([len(part) for part in parts], allowed), strict=True))


def shares(counts: Sequence[int], allowed: int) -> Iterator[int]:
    """What each array gets of `allowed`: in proportion to its trials, but at least one."""
    left, trials = allowed, sum(counts)
    for position, count in enumerate(counts):
        later = len(counts) - position - 1
        share = max(1, min(left * count // trials, left - later))
        yield share
        left, trials = left - share, trials - count
