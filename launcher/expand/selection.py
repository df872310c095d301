"""Choosing some of a sweep's trials for one command: `--only ID` and `--only axis=value`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from launcher.expand.layers import look_up, put
from launcher.expand.points import axis_of, matches_value
from launcher.trial import Trial
from segda_core.errors import ConfigError, Json, did_you_mean, parse_yaml

STAGE = "stage"
"""What `--only` calls a trial's stage."""


def select(trials: Sequence[Trial], only: Sequence[str]) -> list[Trial]:
    """Trials that `--only` chooses; all where it is not given."""
    if not only:
        return list(trials)
    chosen = chosen_ids({trial.id: trial for trial in trials}, only, "--only: ")
    return [trial for trial in trials if trial.id in chosen]


def chosen_ids(
    trials: Mapping[str, Trial], only: Sequence[str], place: str = "", others: Sequence[str] = ()
) -> set[str]:
    """Ids that begin with one of the ids, or of trials that have for every axis named one of its values.

    Of `others` no configuration is known: their ids alone choose them. `ConfigError` for an entry that
    matches nothing; `place` is what it begins with.
    """
    try:
        return _chosen(trials, only, [*trials, *others])
    except ConfigError as error:
        raise ConfigError([f"{place}{problem}" for problem in error.problems]) from error


def _chosen(trials: Mapping[str, Trial], only: Sequence[str], ids: Sequence[str]) -> set[str]:
    chosen = {each for entry in only if "=" not in entry for each in _by_id(ids, entry)}
    by_axis: dict[str, set[str]] = defaultdict(set)
    for entry in only:
        if "=" in entry:
            axis, matching = _by_axis(trials, entry)
            by_axis[axis] |= matching
    if by_axis:
        agreed = set.intersection(*by_axis.values())
        if not agreed:
            raise ConfigError([f"no trial matches {' and '.join(only)} together"])
        chosen |= agreed
    return chosen


def _by_id(ids: Sequence[str], entry: str) -> list[str]:
    found = [each for each in ids if entry and each.startswith(entry)]
    if not found:
        raise ConfigError([f"no trial's id begins with {entry!r}{did_you_mean(entry, ids)}"])
    return found


def _by_axis(trials: Mapping[str, Trial], entry: str) -> tuple[str, set[str]]:
    name, _, text = entry.partition("=")
    axis = _axis(list(trials.values()), name.strip())
    try:
        wanted = parse_yaml(text)
    except ValueError as error:
        raise ConfigError([f"{entry}: {error}"]) from error
    values = {trial_id: _value(trial, axis) for trial_id, trial in trials.items()}
    ids = {trial_id for trial_id, found in values.items() if _equal(found, wanted, text)}
    if not ids:
        allowed = list(dict.fromkeys(_name(value) for value in values.values() if value is not None))
        near = did_you_mean(text, allowed)
        raise ConfigError([f"no trial has {axis}={text}; there are: {', '.join(allowed)}{near}"])
    return axis, ids


def _axis(trials: Sequence[Trial], name: str) -> str:
    """The dotted path that a name (whole, or its last part) stands for, or `stage`."""
    axes = list(dict.fromkeys(path for trial in trials for path in trial.point))
    axes += [STAGE] if any(trial.stage for trial in trials) else []
    ending = [path for path in axes if path.split(".")[-1] == name]
    if name in axes or any(_value(trial, name) is not None for trial in trials):
        return name
    if len(ending) > 1:
        raise ConfigError([f"{name!r} may be {' or '.join(ending)}; give the whole path"])
    if not ending:
        raise ConfigError([f"no axis {name!r}; there are: {', '.join(axes)}{did_you_mean(name, axes)}"])
    return ending[0]


def _value(trial: Trial, axis: str) -> Json:
    """The trial's resolved value, None where it has none: what it does not use is no longer there.

    Of a task without such a setting the value of its parents, whose axis it is: pseudo labels have no seed.
    """
    if axis == STAGE:
        return trial.stage
    first = axis.partition(".")[0]
    raw: Json = {}
    if first in type(trial.config).model_fields:
        raw = trial.config.model_dump(mode="json", include={first})
    elif (inherited := axis_of(axis, trial.point)) is not None:
        raw = put({}, inherited.split("."), trial.point[inherited])
    try:
        return look_up(raw, tuple(axis.split(".")))
    except KeyError:
        return None


def _equal(found: Json, wanted: Json, text: str) -> bool:
    return found is not None and (matches_value(found, wanted) or _name(found) == text)


def _name(value: Json) -> str:
    return str(value["name"]) if isinstance(value, dict) and "name" in value else str(value)
