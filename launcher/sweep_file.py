"""The model of `sweeps/NAME.yaml`: what a sweep file may hold, before it meets a data profile."""

from typing import Annotated, Any, Literal

from pydantic import Field

from launcher.executor_config import ExecutorConfig, LocalConfig
from segda_core.config import Frozen

LADDER_AXIS = "target.subset.size"
"""The one axis whose values may be `ladder`, the profile's target sizes."""

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class SweepFile(Frozen):
    """A sweep: trials are the points of `grid` x `zip`, less `exclude`, over `base` over the data profile."""

    name: FileName
    """The same as the file's; results go to runs/NAME."""
    description: str = ""
    """What the sweep asks, for people."""
    data: FileName | None = None
    """Data profile (`sweeps/data/NAME.yaml`); None: given with --data."""
    base: dict[str, Any] = Field(default_factory=dict)
    """Part of a trial's configuration, for every trial."""
    grid: dict[str, Annotated[list[Any], Field(min_length=1)] | Literal["ladder"]] = Field(
        default_factory=dict
    )
    """Dotted path -> list of values: the cross product of these axes."""
    zip: list[Annotated[dict[str, Any], Field(min_length=1)]] = Field(default_factory=list)
    """Mappings dotted path -> value: one further axis, its values moving together."""
    exclude: list[Annotated[dict[str, Any], Field(min_length=1)]] = Field(default_factory=list)
    """Mappings dotted path -> value: a point that matches one of them in every path is left out."""
    executor: ExecutorConfig = LocalConfig()
