"""Which trials of other stages are the parents of a point: those that agree with it on every shared axis."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from launcher.expand.points import axis_of, matches_path, short
from launcher.expand.stages import Stage
from launcher.trial import Trial
from segda_core.errors import Json, did_you_mean, parse_yaml

SHOWN = 4
"""Candidates that an error names."""

Values = Mapping[str, Json]
"""Dotted path -> value of a point's axes."""

Chosen = Mapping[str, Trial]
"""Role -> parent."""


class Candidates:
    """The trials of one stage that may be parents in one role."""

    def __init__(self, trials: Sequence[Trial], axes: Sequence[str], match: Values) -> None:
        """`axes` are the paths of the points that look for a parent; those of `match` are not compared."""
        self.trials = trials
        self._found: dict[tuple[str, ...], dict[str, list[Trial]]] = {}
        for trial in trials:
            if _fits(trial, match):
                shared = tuple(path for path in axes if path in trial.point and not fixed(path, match))
                by_values = self._found.setdefault(shared, defaultdict(list))
                by_values[_key(trial.point, shared)].append(trial)

    def of(self, point: Values) -> list[Trial]:
        """Those that agree with a point."""
        return [
            trial
            for shared, by_values in self._found.items()
            for trial in by_values.get(_key(point, shared), ())
        ]


def choose(candidates: Mapping[str, Candidates], point: Values, match: Values) -> list[Chosen]:
    """Every set of parents, one for each role, that agree with the point and with one another."""
    sets: list[Chosen] = [{}]
    for role, found in candidates.items():
        trials = found.of(point)
        sets = [
            {**chosen, role: trial} for chosen in sets for trial in trials if _agree(trial, chosen, match)
        ]
    return sets


def inherited(chosen: Chosen) -> dict[str, tuple[str, Json]]:
    """Dotted path of every axis of the parents -> (role it comes from, value)."""
    return {path: (role, value) for role, trial in chosen.items() for path, value in trial.point.items()}


def complaints(
    stage: Stage, candidates: Mapping[str, Candidates], point: Values, sets: Sequence[Chosen]
) -> Iterator[str]:
    """Why a point has no parents, or has several sets of them; at least one sentence."""
    found = {role: those.of(point) for role, those in candidates.items()}
    none = [role for role, trials in found.items() if not trials]
    several = [role for role, trials in found.items() if len(trials) > 1]
    for role in none:
        yield f"{stage.prefix}from.{role}: {_nobody(stage, role, candidates[role].trials, point)}"
    if not none and not sets:
        text = "; ".join(f"{role} has {_names(trials)}" for role, trials in found.items())
        yield f"{stage.prefix}from: no parents agree with one another: {text}"
    elif not none:
        for role in several:
            yield f"{stage.prefix}from.{role}: {_too_many(stage, role, found[role])}"


def match_faults(stage: Stage, candidates: Mapping[str, Candidates]) -> Iterator[str]:
    """Axes of `match` that no parent has, and values that are text where parents have a number."""
    trials = [trial for found in candidates.values() for trial in found.trials]
    axes = list(dict.fromkeys(path for trial in trials for path in trial.point))
    for path, value in stage.match.items():
        if axis_of(path, axes) is None:
            allowed = f"{', '.join(axes) or 'none'}{did_you_mean(path, axes)}"
            yield f"{stage.prefix}match.{path}: no axis of a parent; there are: {allowed}"
        elif (meant := _meant(path, value, trials)) is not None:
            said = f"found {value!r}, which is text; parents have {meant}: write {meant}"
            yield f"{stage.prefix}match.{path}: {said}"


def _meant(path: str, value: Json, trials: Sequence[Trial]) -> Json:
    """What parents have, where a value is text for it: in quotes, or as 1e-3, which is text in YAML 1.1."""
    if not isinstance(value, str) or any(matches_path(path, value, trial.point) for trial in trials):
        return None
    for read in (parse_yaml, float):
        with suppress(ValueError):
            if any(matches_path(path, meant := read(value), trial.point) for trial in trials):
                return meant
    return None


def fixed(path: str, match: Values) -> bool:
    """Whether `match` chooses an axis or something below it."""
    return any(other == path or other.startswith(f"{path}.") for other in match)


def _fits(trial: Trial, match: Values) -> bool:
    return all(
        axis_of(path, trial.point) is None or matches_path(path, value, trial.point)
        for path, value in match.items()
    )


def _agree(trial: Trial, chosen: Chosen, match: Values) -> bool:
    return all(
        trial.point[path] == value
        for path, (_, value) in inherited(chosen).items()
        if path in trial.point and not fixed(path, match)
    )


def _key(point: Values, paths: Iterable[str]) -> str:
    return json.dumps([point.get(path) for path in paths], sort_keys=True, default=str)


def _nobody(stage: Stage, role: str, trials: Sequence[Trial], point: Values) -> str:
    axes = {path for trial in trials for path in trial.point}
    shared = {path: value for path, value in point.items() if path in axes and not fixed(path, stage.match)}
    wanted = short({**shared, **stage.match})
    return f"no trial of stage {stage.roles[role]} has {wanted}; there are: {_names(trials)}"


def _too_many(stage: Stage, role: str, trials: Sequence[Trial]) -> str:
    paths = dict.fromkeys(path for trial in trials for path in trial.point)
    differing = [path for path in paths if len({_key(trial.point, [path]) for trial in trials}) > 1]
    advice = f"make {' and '.join(differing)} an axis of this stage, or choose with match"
    fit = f"{len(trials)} trials of stage {stage.roles[role]} fit, but one is needed"
    return f"{fit}: {_names(trials)}; {advice}"


def _names(trials: Sequence[Trial]) -> str:
    names = [f"{trial.id} ({short(trial.point)})" if trial.point else trial.id for trial in trials[:SHOWN]]
    more = f" and {len(trials) - SHOWN} more" if len(trials) > SHOWN else ""
    return ", ".join(names) + more if names else "none"
