"""Choosing a trial without labels: what each metric's choice costs, and two scores of all metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segda_core.quality.catalogue import COMBINED, FULL_METRICS
from segda_core.quality.correlation import Numbers

PENALTY = 1.0
"""Of the ridge regression on standardised metrics."""


@dataclass(frozen=True)
class Row:
    """One checkpoint of one run, with its true mIoU and its label-free metrics."""

    run: str
    method: str
    step: int
    last: bool
    miou: float
    metrics: Mapping[str, float | None]


@dataclass(frozen=True)
class Choice:
    """What the best value of a score leads to; differences of mIoU are fractions, never below 0."""

    run: str
    """The chosen one, or the first of several with the same score."""
    step: int
    num_more: int
    """Further ones with the same score."""
    miou: float
    """Mean over the chosen one and those."""
    regret: float
    """Best mIoU of the same rows minus this one."""
    random_regret: float
    """Expected of a row drawn blindly."""
    last_regret: float | None
    """Expected of the last checkpoint of a run drawn blindly; None where no last one has a score."""


def oriented(rows: Sequence[Row], name: str) -> Numbers:
    """A metric's values with its sign, so that more is better; NaN where it is null."""
    sign = FULL_METRICS[name].sign
    values = (row.metrics.get(name) for row in rows)
    return np.array([np.nan if value is None else sign * value for value in values], dtype=np.float64)


def regret(scores: Numbers, miou: Numbers) -> float:
    """Best mIoU minus that of the highest score; the mean over equally high ones."""
    difference = miou.max() - miou[scores == scores.max()].mean()
    return max(0.0, float(difference))  # a mean may round above the best


def choose(rows: Sequence[Row], scores: Numbers) -> Choice | None:
    """The row of the highest score among those that have one; None where there is none."""
    known = [index for index, score in enumerate(scores) if not np.isnan(score)]
    if not known:
        return None
    miou = np.array([rows[index].miou for index in known])
    picked = np.flatnonzero(scores[known] == scores[known].max())
    last = miou[[rows[index].last for index in known]]
    best, chosen = miou.max(), miou[picked].mean()
    row = rows[known[picked[0]]]
    return Choice(
        row.run,
        row.step,
        len(picked) - 1,
        float(chosen),
        regret(scores[known], miou),
        float(best - miou.mean()),
        float(best - last.mean()) if len(last) else None,
    )


def standardised(values: Numbers, among: Numbers | None = None) -> Numbers:
    """z-scores by mean and spread of `among` (default: the values); null and what does not vary are 0."""
    among = values if among is None else among
    known = among[~np.isnan(among)]
    if len(known) < 2 or known.std() == 0:
        return np.zeros_like(values)
    scores: Numbers = np.nan_to_num((values - known.mean()) / known.std(), nan=0.0)
    return scores


def combined_score(rows: Sequence[Row]) -> Numbers:
    """Mean of signed z-scores, over those metrics that a row has; NaN where it has none."""
    values = [oriented(rows, name) for name in COMBINED]
    known = np.sum([~np.isnan(column) for column in values], axis=0)
    total = np.sum([standardised(column) for column in values], axis=0)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def ridge_score(rows: Sequence[Row], names: Sequence[str]) -> Numbers:
    """mIoU predicted for each method's rows by a ridge regression on the other methods' rows.

    Not label-free: labels of the other methods' trials chose the weights. NaN with fewer than two methods or
    three rows to learn from.
    """
    methods = np.array([row.method for row in rows])
    miou = np.array([row.miou for row in rows])
    columns = [oriented(rows, name) for name in names]
    scores = np.full(len(rows), np.nan)
    for method in np.unique(methods):
        held_out = methods == method
        if np.count_nonzero(~held_out) < 3:
            continue
        inputs = np.stack([standardised(column, column[~held_out]) for column in columns], axis=1)
        known, mean = inputs[~held_out], miou[~held_out].mean()
        weights = np.linalg.solve(
            known.T @ known + PENALTY * np.eye(len(names)), known.T @ (miou[~held_out] - mean)
        )
        scores[held_out] = inputs[held_out] @ weights + mean
    return scores
