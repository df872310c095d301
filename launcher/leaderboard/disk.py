"""A sweep's directory as the launcher wrote it: each trial's configuration and place, what is above it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, Literal

from launcher.trials.prepare import read_config
from launcher.trials.progress import UNREADABLE
from segda_core.config import TaskConfig, TrialConfig, identity
from segda_core.errors import ConfigError
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles

DEEPEST = 10
"""Ancestors above one another, more than which only a trial.json changed by hand tells of."""

Size = int | Literal["all"] | None
"""Target images that are opened; None for none."""


@dataclass(frozen=True)
class Written:
    """What a trial's directory says from its beginning."""

    config: TaskConfig
    made: dict[str, Any]
    """trial.json."""
    parents: dict[str, str]
    """Role -> id, in no order that a sweep file could change."""

    @property
    def point(self) -> dict[str, Any]:
        """Values of the axes that it was made from; empty where its trial.json is not as it was written."""
        found = self.made.get("point")
        return found if isinstance(found, dict) else {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What sets its result apart, but for seeds."""
        kept = identity(self.config)
        kept.pop("seed", None)
        target = kept.get("target", {})
        if subset := target.get("subset"):
            subset.pop("seed", None)
        if not subset:  # as where nothing but a seed was set
            target.pop("subset", None)
        return kept


@dataclass(frozen=True)
class Above:
    """Those above a trial: its result rests on what they opened of the target, and on how they were made."""

    trials: Mapping[tuple[str, ...], Written] = field(default_factory=dict)
    """Roles on the way up -> who has it there, as far as they can be read; one may be at several places."""
    missing: tuple[str, ...] = ()
    """Those whose configurations are gone or broken: what they opened is not known."""

    @property
    def size(self) -> Size:
        """The largest of their target subsets."""
        subsets = (each.config.target_subset for each in self.trials.values())
        return largest(*(subset.size for subset in subsets if subset is not None))

    @property
    def labelled(self) -> Size:
        """The most target images whose labels one of them used; None for none."""
        configs = [each.config for each in self.trials.values()]
        found = (config.target.labelled for config in configs if isinstance(config, TrialConfig))
        return largest(*(labelled.size for labelled in found if labelled is not None))

    @property
    def uses_target_labels(self) -> bool:
        """Whether one of them did."""
        return any(each.config.uses_target_labels for each in self.trials.values())

    @cached_property
    def key(self) -> str:
        """Equal for trials that were made alike, but for seeds."""
        return json.dumps([[roles, each.settings] for roles, each in self.trials.items()], sort_keys=True)

    @property
    def point(self) -> dict[str, Any]:
        """Values of their axes, the parents' before those above them."""
        highest_first = sorted(self.trials, key=len, reverse=True)
        return {path: value for place in highest_first for path, value in self.trials[place].point.items()}


class Folder:
    """A sweep's directory; what is read of a trial is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._written: dict[str, Written | None] = {}

    def written(self, identifier: str) -> Written | None:
        """A trial's configuration and place; None where the launcher has not written them."""
        if identifier not in self._written:
            files = TrialFiles(self.root / identifier)
            self._written[identifier] = _read(files) if files.config.is_file() else None
        return self._written[identifier]

    def above(self, identifier: str) -> Above:
        """A trial's ancestors, as far as they can be found."""
        trials, missing = {}, []
        for place, ancestor in self._ancestors(identifier):
            if (written := self._ancestor(ancestor)) is not None:
                trials[place] = written
            else:
                missing.append(ancestor)
        return Above(trials, tuple(dict.fromkeys(missing)))

    def _ancestor(self, identifier: str) -> Written | None:
        """None also where its files cannot be read: that takes no trial below it off the board."""
        with suppress(ConfigError, OSError, *UNREADABLE):
            return self.written(identifier)
        return None

    def _ancestors(
        self, identifier: str, below: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        written = self._ancestor(identifier)
        for role, parent in ({} if written is None or len(below) > DEEPEST else written.parents).items():
            yield (*below, role), parent
            yield from self._ancestors(parent, (*below, role))


def largest(*sizes: Size) -> Size:
    """The largest of some sizes; None where there is none."""
    opened = [size for size in sizes if size is not None]
    return max(opened, key=lambda size: inf if size == "all" else size, default=None)


def _read(files: TrialFiles) -> Written:
    made = read_json(files.trial) or {}
    parents = {role: parent["trial"] for role, parent in sorted((made.get("parents") or {}).items())}
    return Written(read_config(files), made, parents)
