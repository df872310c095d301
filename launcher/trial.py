"""A trial: one resolved point of a sweep, its identity and its directory."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from segda_core.config import CONFIG_VERSION, TrialConfig, identity
from segda_core.layout import TrialFiles


@dataclass(frozen=True)
class Trial:
    """One resolved configuration of a sweep and the grid point it came from."""

    sweep: str
    config: TrialConfig
    point: dict[str, Any] = field(default_factory=dict)
    """Dotted path -> value of every axis of the sweep at this point, for people."""

    @cached_property
    def id(self) -> str:
        """`LABEL-HEX`: the directory's name, the same wherever and whenever the sweep is expanded."""
        return f"{label(self.config)}-{fingerprint(self.config)}"

    def files(self, runs: Path) -> TrialFiles:
        """Paths of this trial below the runs folder."""
        return TrialFiles(runs / self.sweep / self.id)


def label(config: TrialConfig) -> str:
    """The part of an id for people: method, data, target size and seed."""
    parts = [config.method.name, config.data.name]
    if config.target.subset is not None:
        parts.append(f"n{config.target.subset.size}")
    parts.append(f"s{config.seed}")
    return re.sub(r"[^A-Za-z0-9_.-]", "_", "-".join(parts))


def fingerprint(config: TrialConfig) -> str:
    """12 hex digits of the SHA-256 of what identifies a config; a new config version changes them all."""
    content = {"config_version": CONFIG_VERSION, "config": identity(config), "parents": []}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
