"""A trial: one resolved point of a sweep, its identity and its directory."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from segda_core.config import CONFIG_VERSION, TaskConfig, TrialConfig, identity
from segda_core.trials.layout import TrialFiles
from segda_core.trials.tasks import task_of


@dataclass(frozen=True)
class Trial:
    """One resolved configuration of a sweep and the grid point it came from."""

    sweep: str
    config: TaskConfig
    point: dict[str, Any] = field(default_factory=dict)
    """Dotted path -> value of every axis of the sweep at this point, its parents' included."""
    stage: str | None = None
    """None in a sweep without stages."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """Role -> id of the trial it takes something from."""

    @cached_property
    def id(self) -> str:
        """`LABEL-HEX`: the directory's name, the same wherever and whenever the sweep is expanded."""
        return f"{self.label}-{fingerprint(self.config, self.parents)}"

    @property
    def label(self) -> str:
        """The part of the id for people."""
        return label(self.config, self.stage)

    def files(self, runs: Path) -> TrialFiles:
        """Paths of this trial below the runs folder."""
        return TrialFiles(runs / self.sweep / self.id)


def label(config: TaskConfig, stage: str | None = None) -> str:
    """Stage, method, data, target size and seed, as far as there are such."""
    parts = [] if stage is None else [stage]
    if isinstance(config, TrialConfig):
        parts.append(config.method.name)
    parts.append(config.data.name)
    if config.target_subset is not None:
        parts.append(f"n{config.target_subset.size}")
    if isinstance(config, TrialConfig):
        parts.append(f"s{config.seed}")
    return re.sub(r"[^A-Za-z0-9_.-]", "_", "-".join(parts))


def doing(config: TaskConfig) -> tuple[str, str]:
    """(`method`, its name) or (`task`, its name): what decides which settings a trial has."""
    if isinstance(config, TrialConfig):
        return "method", config.method.name
    return "task", task_of(config)


def fingerprint(config: TaskConfig, parents: Mapping[str, str] | None = None) -> str:
    """12 hex digits of the SHA-256 of what identifies a trial; a new config version changes them all."""
    family = sorted([role, parent] for role, parent in (parents or {}).items())
    content = {"config_version": CONFIG_VERSION, "config": identity(config), "parents": family}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
