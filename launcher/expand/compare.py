"""Comparing configurations setting by setting."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from launcher.trial import Trial
from segda_core.config import identity
from segda_core.errors import Json, KeyPath, dotted


@dataclass(frozen=True)
class Difference:
    """One setting in which two trials differ; None where a trial has no such setting."""

    path: str
    here: Json
    there: Json


def leaves(raw: Json, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Json]]:
    """Every setting below a mapping; a list of plain values is one setting."""
    if isinstance(raw, dict) and raw:
        for key, value in raw.items():
            yield from leaves(value, (*path, key))
    elif isinstance(raw, list) and any(isinstance(item, dict) for item in raw):
        for index, item in enumerate(raw):
            yield from leaves(item, (*path, index))
    else:
        yield path, raw


def differences(here: Json, there: Json) -> list[Difference]:
    """Settings that two mappings do not share."""
    mine, theirs = dict(leaves(here)), dict(leaves(there))
    return [Difference(dotted(path), mine.get(path), theirs.get(path)) for path in _differing(mine, theirs)]


def nearest(trial: Trial, others: Iterable[Trial]) -> tuple[str, list[Difference]] | None:
    """Id of the trial that differs in fewest settings, and these settings; None where there is no other."""
    mine = dict(leaves(_settings(trial)))
    compared = ((other, _differing(mine, dict(leaves(_settings(other))))) for other in others)
    other, paths = min(compared, key=lambda item: len(item[1]), default=(None, []))
    if other is None:
        return None
    here, there = _whole(trial), _whole(other)
    return other.id, [Difference(dotted(path), here.get(path), there.get(path)) for path in paths]


def _differing(mine: Mapping[KeyPath, Json], theirs: Mapping[KeyPath, Json]) -> list[KeyPath]:
    return [path for path in dict.fromkeys([*mine, *theirs]) if mine.get(path) != theirs.get(path)]


def _settings(trial: Trial) -> dict[str, Json]:
    """What sets a trial apart: its own settings that are not at their default, and its parents."""
    family = {"from": dict(trial.parents)} if trial.parents else {}
    return {**identity(trial.config), **({"stage": trial.stage} if trial.stage else {}), **family}


def _whole(trial: Trial) -> dict[KeyPath, Json]:
    """Those at their default too, for people."""
    return dict(leaves({**_settings(trial), **trial.config.model_dump(mode="json")}))
