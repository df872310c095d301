"""Optuna's TPE without a state of its own: a proposal follows from the search, its number and the results."""

import hashlib
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from launcher.search.config import Dimension, SearchConfig
from launcher.search.known import Known
from launcher.search.sample import rounded
from segda_core.errors import Json

DRAWS = 100
"""Proposals drawn until one is new; a space of few values may have no more."""


def propose(search: SearchConfig, known: Sequence[Known]) -> dict[str, Json] | None:
    """Settings of the next trial after those known; None where no new ones are found.

    Trials that still run count as poor ones, so that those beside them look elsewhere (constant liar).
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {path: _distribution(dimension) for path, dimension in search.space.items()}
    past = [_trial(search, distributions, each) for each in known]
    for draw in range(DRAWS):
        sampler = optuna.samplers.TPESampler(seed=_seed(search.seed, len(known), draw), constant_liar=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials(past)
        params = study.ask(distributions).params
        point = {path: _value(search.space[path], params[path]) for path in search.space}
        if all(point != each.point for each in known):
            return point
    return None


def _seed(*numbers: int) -> int:
    text = "/".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


def _distribution(dimension: Dimension) -> BaseDistribution:
    """Choices go by their number: Optuna takes only plain values."""
    if dimension.choice is not None:
        return CategoricalDistribution(tuple(range(len(dimension.choice))))
    if dimension.int_ is not None:
        return IntDistribution(*dimension.int_)
    assert dimension.bounds is not None
    return FloatDistribution(*dimension.bounds, log=dimension.loguniform is not None)


def _value(dimension: Dimension, param: Any) -> Json:
    if dimension.choice is not None:
        return dimension.choice[param]
    return param if dimension.int_ is not None else rounded(param, dimension)


def _param(dimension: Dimension, value: Json) -> Any:
    return value if dimension.choice is None else dimension.choice.index(value)


def _trial(
    search: SearchConfig, distributions: dict[str, BaseDistribution], known: Known
) -> optuna.trial.FrozenTrial:
    state = TrialState.RUNNING
    if known.miou is not None:
        state = TrialState.COMPLETE
    elif known.on_the_way:
        state = TrialState.PRUNED
    return optuna.trial.create_trial(
        state=state,
        value=known.miou,
        params={path: _param(search.space[path], value) for path, value in known.point.items()},
        distributions=distributions,
        intermediate_values=dict(known.on_the_way or {}),
    )
