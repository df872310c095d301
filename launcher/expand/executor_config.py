"""Where a sweep's jobs run, and how patiently: the `executor:` of a sweep file, one model per executor."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from segda_core.config import LIST, Frozen

OWN_SBATCH_OPTIONS = frozenset(
    {
        *(
            "array",
            "job-name",
            "output",
            "error",
            "open-mode",
            "signal",
            "requeue",
            "no-requeue",
            "dependency",
        ),
        *("nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "mem", "time", "chdir"),
        *("partition", "qos", "account", "constraint", "exclude", "export", "kill-on-invalid-dep"),
        *("clusters", "parsable", "quiet", "wait", "test-only"),
    }
)
"""sbatch options that segda sets itself, that have a field of their own, or change what sbatch answers."""


def _free(options: dict[str, Any]) -> dict[str, Any]:
    taken = sorted({name.replace("_", "-").lstrip("-") for name in options} & OWN_SBATCH_OPTIONS)
    if taken:
        raise ValueError(f"{', '.join(taken)}: segda sets it, has a field for it, or needs sbatch without it")
    return options


SbatchOptions = Annotated[dict[str, str | int | float | bool], AfterValidator(_free)]


class ExecutorSettings(Frozen):
    """What every executor is told."""

    max_parallel: Annotated[int, Field(gt=0)] | None = None
    """Trials of one launch at once; None: as many as fit."""
    retry: Annotated[int, Field(ge=0)] = 2
    """Times a launch tries a trial again that the machine failed (killed, node, nccl, timeout, disk)."""
    stall_min: Annotated[float, Field(gt=0)] = 30
    """Minutes without a step after which an attempt is ended with cause timeout."""

    @property
    def on_cluster(self) -> bool:
        """Whether trials run on machines other than this one."""
        return False


class LocalConfig(ExecutorSettings):
    """This machine, as many trials at once as it has GPUs (or cores for)."""

    name: Literal["local"] = "local"


class SlurmConfig(ExecutorSettings):
    """Job arrays on a Slurm cluster, submitted through submitit."""

    name: Literal["slurm"]
    nodes: Annotated[int, Field(gt=0)] = 1
    """Nodes of each trial; its ranks are spread evenly over them."""
    gpus_per_node: Annotated[int, Field(ge=0)] | None = None
    """GPUs asked for on each node, one per rank: a trial's ranks are nodes x gpus_per_node. 0: CPU cores.
    None: one for each rank where the partition has nodes with GPUs."""
    cpus_per_gpu: Annotated[int, Field(gt=0)] | None = None
    """CPU cores for each GPU; None: one, one for each thread more, and one for each loader process."""
    mem_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory on each node in GB; None: the cluster's default."""
    timeout_min: Annotated[int, Field(ge=5)] = 240
    """Time limit of a job in minutes. A trial that needs longer saves, is queued again and goes on. Slurm
    asks for that up to two and a half minutes before the limit: in less than 5 a trial might never get on."""
    partition: str | None = None
    """Partition, or several separated by commas; None: the cluster's default."""
    qos: str | None = None
    """Quality of service."""
    account: str | None = None
    """Account that is charged."""
    constraint: str | None = None
    """Features that nodes must have, as `a100|h100`."""
    exclude: str | None = None
    """Nodes never to use, as `node[03-05]`."""
    setup: Annotated[tuple[str, ...], LIST] = ()
    """Shell lines a job runs first, as `module load cuda`."""
    sbatch: SbatchOptions = Field(default_factory=dict)
    """Any other option of sbatch by name, as `{mail-type: END}`; true for one without a value."""

    @property
    def on_cluster(self) -> bool:
        """Always: even its own host only through the queue."""
        return True


class RayConfig(ExecutorSettings):
    """Ray Tune trials, on a running Ray cluster or one started for the launch."""

    name: Literal["ray"]
    address: str | None = None
    """host:port of a running cluster, or auto (the one that `ray` finds); None: the head of `make dashboard`
    where it runs, else one started for the launch."""

    @property
    def on_cluster(self) -> bool:
        """Where a running cluster is named."""
        return self.address is not None


def nodes_of(executor: LocalConfig | SlurmConfig | RayConfig) -> int:
    """Machines that each trial runs on."""
    return executor.nodes if isinstance(executor, SlurmConfig) else 1


def _local_unless_named(raw: Any) -> Any:
    return {"name": "local", **raw} if isinstance(raw, dict) else raw


ExecutorConfig = Annotated[
    Annotated[LocalConfig | SlurmConfig | RayConfig, Field(discriminator="name")],
    BeforeValidator(_local_unless_named),
]
