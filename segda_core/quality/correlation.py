"""Rank correlations, with intervals and tests that know which rows belong to one run."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Statistic = Callable[[Numbers, Numbers], float]
"""A number of two samples of equal length; NaN where it is not defined."""

RESAMPLES = 2000
PERMUTATIONS = 10_000
LEVEL = 0.95


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
    x: Numbers, y: Numbers, runs: Sequence[str], statistic: Statistic, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile interval: whole runs are drawn again, each with all its rows.

    None below three runs, or where fewer than half of the draws have a value.
    """
    names, owner = np.unique(np.array(runs), return_inverse=True)
    if len(names) < 3:
        return None
    rows = [np.flatnonzero(owner == index) for index in range(len(names))]
    rng = np.random.default_rng(seed)
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


def permutation_p(x: Numbers, y: Numbers, seed: int = 0) -> float:
    """Two-sided p of Spearman's rho: how often shuffled rows correlate as strongly."""
    observed = abs(spearman(x, y))
    shuffled = np.abs(_shuffled_rho(ranks(x), ranks(y), seed))
    return float((1 + np.count_nonzero(shuffled >= observed - 1e-12)) / (1 + PERMUTATIONS))


def critical_rho(count: int, seed: int = 0) -> float:
    """|rho| that unrelated samples of this size exceed in 5 % of all cases (some 0.48 for 17)."""
    order = np.arange(1.0, count + 1)
    return float(np.quantile(np.abs(_shuffled_rho(order, order, seed)), LEVEL))


def _shuffled_rho(x: Numbers, y: Numbers, seed: int) -> Numbers:
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(y, (PERMUTATIONS, 1)), axis=1)
    x, centred = x - x.mean(), orders - y.mean()
    rho: Numbers = centred @ x / np.sqrt((x @ x) * (centred[0] @ centred[0]))
    return rho


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Holm's correction over a family of tests: adjusted p, never smaller than those of stronger results."""
    adjusted, largest = {}, 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p))
        adjusted[name] = largest
    return adjusted
