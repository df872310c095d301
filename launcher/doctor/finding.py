"""What a check is given, and what it says."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from segda_core.config import Profile


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Not here, or worth knowing: nothing to do."""
    WARNING = "warning"
    """Trials run, but something will cost time or results sooner or later."""
    PROBLEM = "problem"
    """Trials fail, or cannot be started."""


@dataclass(frozen=True)
class Finding:
    """One sentence about one thing."""

    level: Level
    message: str
    advice: str = ""
    """What to do about it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The same for programs."""


@dataclass(frozen=True)
class Scope:
    """What is to be looked at."""

    runs: Path
    profile: Profile | None = None

    @property
    def folder(self) -> Path:
        """The runs folder, or the nearest one above it that exists already."""
        folder = self.runs.resolve()
        while not folder.exists():
            folder = folder.parent
        return folder
