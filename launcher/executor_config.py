"""Where a sweep's jobs run, and how patiently: the `executor:` of a sweep file, one model per executor."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from segda_core.config import Frozen


class ExecutorSettings(Frozen):
    """What every executor is told."""

    max_parallel: Annotated[int, Field(gt=0)] | None = None
    """Trials at once; None: as many as fit."""
    retry: Annotated[int, Field(ge=0)] = 2
    """Times a launch tries a trial again that the machine failed (killed, node, nccl, timeout, disk)."""
    stall_min: Annotated[float, Field(gt=0)] = 30
    """Minutes without a step after which an attempt is ended with cause timeout."""


class LocalConfig(ExecutorSettings):
    """This machine, as many trials at once as it has GPUs (or cores for)."""

    name: Literal["local"] = "local"


class SlurmConfig(ExecutorSettings):
    """Job arrays on a Slurm cluster, submitted through submitit."""

    name: Literal["slurm"]


class RayConfig(ExecutorSettings):
    """Ray Tune trials, on a running Ray cluster or one started for the launch."""

    name: Literal["ray"]
    address: str | None = None
    """host:port of a running cluster, or auto (the one that `ray` finds); None: the head of `make dashboard`
    where it runs, else one started for the launch."""


def _local_unless_named(raw: Any) -> Any:
    return {"name": "local", **raw} if isinstance(raw, dict) else raw


ExecutorConfig = Annotated[
    Annotated[LocalConfig | SlurmConfig | RayConfig, Field(discriminator="name")],
    BeforeValidator(_local_unless_named),
]
