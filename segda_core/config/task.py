"""A trial of any task."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from segda_core.config.base import LIST, NOT_IN_IDENTITY, Frozen
from segda_core.config.handing_on import Input, OutputName
from segda_core.config.images import DataConfig, SubsetConfig


class CheckpointConfig(Frozen):
    """When training state is saved. The newest two valid checkpoints and `keep_steps` are kept."""

    every: Annotated[int, Field(gt=0)] = 1000
    """Steps between checkpoints."""
    keep_steps: Annotated[tuple[int, ...], LIST] = ()


class TaskConfig(Frozen):
    """What the trials of every task have in common."""

    data: DataConfig
    ranks: Annotated[int, Field(gt=0)] = 1
    """Processes (GPUs) that share the batch."""
    threads: Annotated[int, Field(gt=0)] = 1
    """CPU threads per rank; part of identity because CPU sums depend on it."""
    workers: Annotated[int, Field(ge=0), NOT_IN_IDENTITY] = 0
    """Loader processes per rank."""

    @property
    def inputs(self) -> Mapping[str, Input]:
        """Role -> what it takes from a parent."""
        return {}

    @property
    def outputs(self) -> tuple[OutputName, ...]:
        """What it makes."""
        raise NotImplementedError

    @property
    def source_outputs(self) -> tuple[str, ...]:
        """Keys of the parents whose images it trains on."""
        return ()

    @property
    def target_subset(self) -> SubsetConfig | None:
        """The target images it opens, parents aside; None where it opens none."""
        return None

    @property
    def uses_target_labels(self) -> bool:
        """Whether any target label is loaded, parents aside."""
        return False

    @property
    def planned_steps(self) -> int | None:
        """How many steps it takes; None where only the running task knows."""
        return None

    def check_domains(self, names: Iterable[str]) -> None:
        """`ValueError` for a domain that the data profile does not have."""
        for name in names:
            if name not in self.data.domains:
                allowed = ", ".join(sorted(self.data.domains))
                raise ValueError(f"data profile {self.data.name} has no domain {name!r}; it has: {allowed}")
