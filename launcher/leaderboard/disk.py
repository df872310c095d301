"""A sweep's directory as the launcher wrote it: each trial's configuration and place, what is above it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Literal

from launcher.prepare import read_config
from segda_core import layout
from segda_core.config import TaskConfig
from segda_core.errors import ConfigError
from segda_core.layout import TrialFiles

Size = int | Literal["all"] | None
"""Target images that are opened; None for none."""


@dataclass(frozen=True)
class Written:
    """What a trial's directory says from its beginning."""

    config: TaskConfig
    made: dict[str, Any]
    """trial.json."""

    @property
    def parents(self) -> list[str]:
        """Their ids."""
        return [parent["trial"] for parent in (self.made.get("parents") or {}).values()]


@dataclass(frozen=True)
class Above:
    """What the trials above a trial opened of the target: its result rests on that too."""

    size: Size = None
    """The largest of their subsets."""
    uses_target_labels: bool = False
    missing: tuple[str, ...] = ()
    """Those whose configurations are gone or broken: what they opened is not known."""


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
        """What a trial's ancestors opened, as far as they can be found."""
        found = {ancestor: self._ancestor(ancestor) for ancestor in self._ancestors(identifier)}
        configs = [written.config for written in found.values() if written is not None]
        sizes = [config.target_subset.size for config in configs if config.target_subset is not None]
        return Above(
            largest(*sizes),
            any(config.uses_target_labels for config in configs),
            tuple(ancestor for ancestor, written in found.items() if written is None),
        )

    def _ancestor(self, identifier: str) -> Written | None:
        """None also where its configuration cannot be read: that takes no trial below it off the board."""
        with suppress(ConfigError):
            return self.written(identifier)
        return None

    def _ancestors(self, identifier: str) -> Iterator[str]:
        written = self._ancestor(identifier)
        for parent in [] if written is None else written.parents:
            yield parent
            yield from self._ancestors(parent)


def largest(*sizes: Size) -> Size:
    """The largest of some sizes; None where there is none."""
    opened = [size for size in sizes if size is not None]
    return max(opened, key=lambda size: inf if size == "all" else size, default=None)


def _read(files: TrialFiles) -> Written:
    return Written(read_config(files), layout.read_json(files.trial) or {})
