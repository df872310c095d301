"""Rank correlations, with intervals and tests that know which rows belong to one run."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import permutations
from typing import Any, TypeAlias

import numpy as np

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Statistic = Callable[[Numbers, Numbers], float]
"""A number of two samples of equal length; NaN where it is not defined."""

RESAMPLES = 2000
PERMUTATIONS = 10_000
MOST_ENUMERATED = 9
"""Rows up to which all their orders are gone through instead of `PERMUTATIONS` drawn ones."""
LEVEL = 0.95
SIGNIFICANT = 0.05


def ranks(values: Numbers) -> Numbers:
    """From 1; equal values share their mean rank."""
    ordered = np.sort(values)
    below, up_to = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    shared: Numbers = (below + 1 + up_to) / 2
    return shared


def pearson(x: Numbers, y: Numbers) -> float:
    """Product-moment correlation; NaN where one does not vary."""
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def spearman(x: Numbers, y: Numbers) -> float:
    """Correlation of the ranks."""
    return pearson(ranks(x), ranks(y))


def kendall(x: Numbers, y: Numbers) -> float:
    """tau_b: pairs in the same order minus pairs in the other, ties allowed for."""
    order_x, order_y = (np.sign(np.subtract.outer(each, each)).ravel() for each in (x, y))  # each pair twice
    untied = np.sqrt(np.count_nonzero(order_x) * float(np.count_nonzero(order_y)))
    return float(order_x @ order_y / untied) if untied > 0 else float("nan")


def partial_spearman(x: Numbers, y: Numbers, given: Numbers) -> float:
    """Spearman of x and y, the ranks of a third variable held constant; NaN where it explains one wholly."""
    xy, xz, yz = spearman(x, y), spearman(x, given), spearman(y, given)
    left = (1 - xz**2) * (1 - yz**2)
    return float((xy - xz * yz) / np.sqrt(left)) if left > 1e-12 else float("nan")


def fisher_mean(correlations: Numbers) -> float:
    """Mean of correlations on Fisher's z scale, where +-1 would be infinite and is cut off at 0.999."""
    return float(np.tanh(np.arctanh(correlations.clip(-0.999, 0.999)).mean()))


def clustered_interval(
    x: Numbers, y: Numbers, runs: Sequence[str], statistic: Statistic
) -> tuple[float, float] | None:
    """95 % percentile interval: whole runs are drawn again, each with all its rows.

    None below three runs, or where fewer than half of the draws have a value.
    """
    names, owner = np.unique(np.array(runs), return_inverse=True)
    if len(names) < 3:
        return None
    rows = [np.flatnonzero(owner == index) for index in range(len(names))]
    rng = np.random.default_rng(0)
    values = []
    for draw in rng.integers(len(names), size=(RESAMPLES, len(names))).tolist():
        drawn = np.concatenate([rows[index] for index in draw])
        values.append(statistic(x[drawn], y[drawn]))
    return percentile_interval(np.array(values))


def percentile_interval(values: Numbers) -> tuple[float, float] | None:
    """The middle 95 % of the values that are defined."""
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def permutation_p(x: Numbers, y: Numbers) -> float:
    """Two-sided p of Spearman's rho: how often rows in another order correlate as strongly."""
    by_chance = _rho_by_chance(ranks(x), ranks(y))
    return float(np.mean(by_chance >= abs(spearman(x, y)) - 1e-12))


def critical_rho(count: int) -> float | None:
    """Least |rho| that fewer than 5 % of unrelated samples of this size, without ties, reach or exceed.

    None where not even the largest is so rare.
    """
    order = np.arange(1.0, count + 1)
    by_chance = np.sort(_rho_by_chance(order, order))
    values = np.unique(by_chance.round(12))
    reached = 1 - np.searchsorted(by_chance, values - 1e-12) / len(by_chance)
    rare = values[reached < SIGNIFICANT]
    return float(rare[0]) if len(rare) else None


@cache
def _all_orders(count: int) -> np.ndarray[Any, np.dtype[np.int8]]:
    """(count!, count) places from 0."""
    return np.array(list(permutations(range(count))), dtype=np.int8)


def _rho_by_chance(x: Numbers, y: Numbers) -> Numbers:
    """|rho| of two samples' ranks for y in its own order and in others: in all of them, or in many drawn."""
    if len(y) <= MOST_ENUMERATED:
        orders = y[_all_orders(len(y))]
    else:
        drawn = np.random.default_rng(0).permuted(np.tile(y, (PERMUTATIONS, 1)), axis=1)
        orders = np.concatenate([y[None], drawn])
    x, centred = x - x.mean(), orders - y.mean()
    rho: Numbers = centred @ x / np.sqrt((x @ x) * (centred[0] @ centred[0]))
    return np.abs(rho)


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Holm's correction over a family of tests: adjusted p, never smaller than those of stronger results."""
    adjusted, largest = {}, 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p))
        adjusted[name] = largest
    return adjusted
