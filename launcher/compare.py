"""Comparing configurations setting by setting."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from launcher.trial import Trial
from segda_core.config import identity
from segda_core.errors import Json, KeyPath, dotted


@dataclass(frozen=True)
class Difference:
    """One setting in which two trials differ; None where a trial has no such setting, or its default."""

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
    paths = dict.fromkeys([*mine, *theirs])
    found = (Difference(dotted(path), mine.get(path), theirs.get(path)) for path in paths)
    return [item for item in found if item.here != item.there]


def nearest(trial: Trial, others: Iterable[Trial]) -> tuple[str, list[Difference]] | None:
    """Id of the trial that differs in fewest settings, and these settings; None where there is no other."""
    mine = _settings(trial)
    compared = [(other.id, differences(mine, _settings(other))) for other in others]
    return min(compared, key=lambda item: len(item[1]), default=None)


def _settings(trial: Trial) -> Json:
    """What sets a trial apart: its own settings, and its parents."""
    family = {"from": dict(trial.parents)} if trial.parents else {}
    return {**identity(trial.config), **({"stage": trial.stage} if trial.stage else {}), **family}
