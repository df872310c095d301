"""From rows (run, checkpoint) to a report: how far each label-free metric follows true mIoU, in three views.

across: the last checkpoint of every run. within: over a run's checkpoints, mean over runs. pooled: all rows,
also with the step held constant, because metrics and mIoU both drift over training.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from segda_core.quality.catalogue import FULL_METRICS
from segda_core.quality.correlation import (
    Numbers,
    clustered_interval,
    critical_rho,
    fisher_mean,
    holm,
    kendall,
    partial_spearman,
    permutation_p,
    spearman,
)
from segda_core.quality.selection import Row, choose, combined_score, oriented, regret, ridge_score

LEAST_ROWS = 4
"""Below it no correlation is given."""

Entry = dict[str, Any]


def analyse(rows: Sequence[Row]) -> dict[str, Any]:
    """Correlations by view and metric, and what selecting by each metric costs."""
    last = [row for row in rows if row.last]
    scores = _scores(last)
    views: dict[str, Any] = {"across": _across(last, scores), "within": None, "pooled": None}
    if len(rows) > len(last):
        every = _scores(rows)
        views["within"] = {name: _within(rows, values) for name, values in every.items()}
        views["pooled"] = {name: _pooled(rows, values) for name, values in every.items()}
    return {
        "runs": len(last),
        "rows": len(rows),
        "critical_rho": critical_rho(len(last)) if len(last) >= LEAST_ROWS else None,
        **views,
        "selection": _selection(last, scores),
        "selection_over_checkpoints": _selection(rows, _scores(rows)) if len(rows) > len(last) else None,
    }


def _scores(rows: Sequence[Row]) -> dict[str, Numbers]:
    """Every metric that some row has, then the two combined ones; more is better in all."""
    names = [name for name in FULL_METRICS if any(row.metrics.get(name) is not None for row in rows)]
    own = {name: oriented(rows, name) for name in names}
    return {**own, "combined": combined_score(rows), "ridge": ridge_score(rows, names)}


def _across(rows: Sequence[Row], scores: dict[str, Numbers]) -> dict[str, Entry]:
    entries = {name: _correlations(rows, values) for name, values in scores.items()}
    family = {name: entry["p"] for name, entry in entries.items() if name in FULL_METRICS and entry["p"]}
    for name, adjusted in holm(family).items():
        entries[name]["p_holm"] = adjusted
    return entries


def _correlations(rows: Sequence[Row], scores: Numbers) -> Entry:
    x, y, runs, _ = _known(rows, scores)
    entry: Entry = {"n": len(x), "rho": None, "rho_ci": None, "tau": None, "tau_ci": None, "p": None}
    if len(x) < LEAST_ROWS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return entry
    return {
        **entry,
        "rho": spearman(x, y),
        "rho_ci": clustered_interval(x, y, runs, spearman),
        "tau": kendall(x, y),
        "tau_ci": clustered_interval(x, y, runs, kendall),
        "p": permutation_p(x, y) if len(set(runs)) == len(runs) else None,
    }


def _pooled(rows: Sequence[Row], scores: Numbers) -> Entry:
    """Rows of one run are no independent draws: no p, and intervals over runs."""
    entry = _correlations(rows, scores)
    x, y, _, steps = _known(rows, scores)
    given = partial_spearman(x, y, steps) if entry["rho"] is not None else float("nan")
    return {**entry, "p": None, "rho_given_step": None if np.isnan(given) else given}


def _within(rows: Sequence[Row], scores: Numbers) -> Entry:
    """Mean over runs of Spearman over a run's checkpoints, on Fisher's z scale."""
    found = defaultdict(list)
    for row, score in zip(rows, scores, strict=True):
        if not np.isnan(score):
            found[row.run].append((score, row.miou))
    pairs = (np.array(values).T for values in found.values() if len(values) >= LEAST_ROWS)
    each = np.array([rho for x, y in pairs if not np.isnan(rho := spearman(x, y))])
    if not len(each):
        return {"n": 0, "rho": None, "rho_ci": None}
    interval = clustered_interval(each, each, [str(i) for i in range(len(each))], lambda x, _: fisher_mean(x))
    return {"n": len(each), "rho": fisher_mean(each), "rho_ci": interval}


def _known(rows: Sequence[Row], scores: Numbers) -> tuple[Numbers, Numbers, list[str], Numbers]:
    """(scores, mIoU, runs, steps) of the rows that have a score."""
    kept = [index for index, score in enumerate(scores) if not np.isnan(score)]
    miou = np.array([rows[index].miou for index in kept])
    steps = np.array([float(rows[index].step) for index in kept])
    return scores[kept], miou, [rows[index].run for index in kept], steps


def _selection(rows: Sequence[Row], scores: dict[str, Numbers]) -> dict[str, Entry]:
    """Each metric's choice, and the interval of its regret where runs are drawn again."""
    found = {}
    for name, values in scores.items():
        if (choice := choose(rows, values)) is not None:
            x, y, runs, _ = _known(rows, values)
            found[name] = {**asdict(choice), "regret_ci": clustered_interval(x, y, runs, regret)}
    return found
