"""What the launcher, its Ray driver and Ray's workers tell each other, importable without Ray."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from segda_core.config import TaskConfig

VARIABLE = re.compile(r"\$\{(\w+)")
"""A variable of the environment in a data root."""


@dataclass(frozen=True)
class Task:
    """An attempt for Ray to run: all that a machine which shares the file system needs to know."""

    attempt: str
    """Absolute path."""
    steps: int | None
    """Of the trial; None where it is not trained."""
    cpus: int
    gpus: int
    stall_min: float
    code: str | None
    """Snapshot of the code; None: the code that started it."""
    directory: str
    """The launcher's working directory, where relative data roots begin."""
    environment: dict[str, str]
    """Variables of the launcher that the trial depends on."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """From the configuration of a Tune trial."""
        return cls(**config["task"])

    def as_config(self) -> dict[str, Any]:
        """As the configuration of a Tune trial."""
        return {"task": asdict(self)}


@dataclass(frozen=True)
class DriverSettings:
    """What a driver is told before it begins."""

    sweep: str
    """Its name, for Ray's dashboard."""
    address: str
    """Of the Ray cluster: host:port, or auto."""
    storage: str
    """Folder for Tune's own files, on the shared file system."""
    pythonpath: str
    """Where the cluster's processes import this package from."""
    early_stopping: Mapping[str, Any] | None = None
    """Of `base.EarlyStopping`, with paths as text."""


def variables_of(config: TaskConfig) -> dict[str, str]:
    """Our own variables and those of the data roots: a head that stays has the ones it was started with."""
    roots = [domain.root for domain in config.data.domains.values()]
    names = {name for root in roots for name in VARIABLE.findall(root)}
    names |= {name for name in os.environ if name.startswith("SEGDA_")}
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}
