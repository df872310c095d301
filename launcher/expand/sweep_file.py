"""The model of `sweeps/NAME.yaml`: what a sweep file may hold, before it meets a data profile."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from launcher.expand.executor_config import ExecutorConfig, LocalConfig
from launcher.search.config import SearchConfig
from segda_core.config import Frozen
from segda_core.trials.tasks import TaskName

LADDER_AXIS = "target.subset.size"
"""The one axis whose values may be `ladder`, the profile's target sizes."""

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


Grid = dict[str, Annotated[list[Any], Field(min_length=1)] | Literal["ladder"]]
Entries = list[Annotated[dict[str, Any], Field(min_length=1)]]


class StageFile(Frozen):
    """One stage of a sweep file: trials of one task, which may take what those of other stages made."""

    task: TaskName
    from_: dict[str, str] = Field(default_factory=dict, alias="from")
    """Role, or key of a source `{output: KEY}` -> the stage whose trials are the parents."""
    match: dict[str, Any] = Field(default_factory=dict)
    """Dotted path of a parent's axis -> the value that parents have there."""
    base: dict[str, Any] = Field(default_factory=dict)
    """Over the sweep's `base`, for every trial of this stage."""
    grid: Grid = Field(default_factory=dict)
    """As in a sweep without stages; with neither grid nor zip, one trial for each parent."""
    zip: Entries = Field(default_factory=list)
    """As in a sweep without stages."""
    exclude: Entries = Field(default_factory=list)
    """As in a sweep without stages."""
    data: FileName | None = None
    """Data profile instead of the sweep's."""
    executor: dict[str, Any] = Field(default_factory=dict)
    """Over the sweep's `executor`."""


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
    grid: Grid = Field(default_factory=dict)
    """Dotted path -> list of values: the cross product of these axes."""
    zip: Entries = Field(default_factory=list)
    """Mappings dotted path -> value: one further axis, its values moving together."""
    exclude: Entries = Field(default_factory=list)
    """Mappings dotted path -> value: a point that matches one of them in every path is left out."""
    executor: ExecutorConfig = LocalConfig()
    stages: dict[str, StageFile] = Field(default_factory=dict)
    """Name -> stage; grid, zip and exclude stand in the stages then, the rest applies to all of them."""
    search: SearchConfig | None = None
    """Instead of a grid: settings drawn from a space, over `base`."""

    @model_validator(mode="after")
    def _check(self) -> "SweepFile":
        beside = [key for key in ("grid", "zip", "exclude", "stages") if getattr(self, key)]
        if self.search is not None and beside:
            raise ValueError(
                f"search goes over base alone; take away {', '.join(beside)}, and repeat the best "
                "configuration it finds over seeds or sizes (runs/SWEEP/SWEEP_best.yaml)"
            )
        return self
