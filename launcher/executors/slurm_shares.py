"""How trials are cut into job arrays, and how these divide the number of trials that may run at once."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from launcher.executors.slurm_request import Shape

Part = tuple[list[int], int | None]
"""Positions of the trials of one array, and how many of them may run at once; None: any number."""


def cut(shapes: Sequence[Shape], most: int, allowed: int | None) -> list[Part]:
    """Arrays for trials of these shapes, each of one shape and at most `most` trials.

    Together they run `allowed` trials at once, or one each where there are more arrays than that: then some
    have to follow others, see `Throttle`.
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


class Throttle:
    """Keeps arrays that are submitted together to a number of trials at once: some follow others."""

    def __init__(self, allowed: int | None) -> None:
        self._allowed = allowed
        self._ahead: dict[str, int] = {}

    def behind(self, parallel: int | None) -> tuple[str, ...]:
        """Arrays that must have ended before one more may run `parallel` trials at once."""
        if self._allowed is None or parallel is None:
            return ()
        excess = sum(self._ahead.values()) + parallel - self._allowed
        found = []
        for array, share in self._ahead.items():
            if excess > 0:
                found.append(array)
                excess -= share
        return tuple(found)

    def add(self, array: str, parallel: int | None) -> None:
        """Note that an array was submitted that follows those `behind` names.

        Room of theirs that it does not need is free only when it begins, so nobody else is given it.
        """
        freed = sum(self._ahead.pop(followed) for followed in self.behind(parallel))
        self._ahead[array] = max(parallel or 0, freed)
