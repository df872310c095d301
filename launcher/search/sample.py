"""Random search: a setting's value is a function of the search's seed, the trial's number and its path."""

import math
import random
from collections.abc import Iterator

from launcher.search.config import Dimension, SearchConfig
from segda_core.errors import Json

DIGITS = 6
"""Significant digits of a drawn number: for people, and so that every machine's logarithm gives the same."""


def random_points(search: SearchConfig) -> list[dict[str, Json]]:
    """Every trial's settings; a dimension added later leaves the values of the others as they are."""
    return [
        {
            path: _draw(dimension, random.Random(f"{search.seed}/{number}/{path}"))
            for path, dimension in search.space.items()
        }
        for number in range(search.trials)
    ]


def probes(search: SearchConfig) -> Iterator[dict[str, Json]]:
    """Points that between them have both ends, or every value, of each dimension: to check a space by."""
    ends = {path: _ends(dimension) for path, dimension in search.space.items()}
    for number in range(max(map(len, ends.values()))):
        yield {path: values[number % len(values)] for path, values in ends.items()}


def rounded(value: float, dimension: Dimension) -> float:
    """A number of few digits, still within its bounds."""
    assert dimension.bounds is not None
    lowest, highest = dimension.bounds
    return min(max(float(f"{value:.{DIGITS}g}"), lowest), highest)


def _draw(dimension: Dimension, chance: random.Random) -> Json:
    if dimension.choice is not None:
        return dimension.choice[chance.randrange(len(dimension.choice))]
    if dimension.int_ is not None:
        return chance.randint(*dimension.int_)
    if dimension.loguniform is not None:
        lowest, highest = map(math.log, dimension.loguniform)
        return rounded(math.exp(chance.uniform(lowest, highest)), dimension)
    assert dimension.uniform is not None
    return rounded(chance.uniform(*dimension.uniform), dimension)


def _ends(dimension: Dimension) -> list[Json]:
    return list(dimension.choice or dimension.bounds or ())
