"""What a job asks Slurm for: nodes, cores, GPUs, time, and what a sweep adds."""

from dataclasses import dataclass
from typing import Any

from launcher.executors.slurm_refusal import Refusal, SubmissionError
from launcher.expand.executor_config import SlurmConfig
from launcher.slurm.command import SlurmError
from launcher.slurm.gpus import partition_has_gpus, says_gpus
from segda_core.config import TaskConfig

SAVE_BEFORE_S = 90
"""Seconds before the time limit at which Slurm asks a job to save; Slurm may be a minute early."""


@dataclass(frozen=True, order=True)
class Shape:
    """What a job asks for; jobs of one shape share an array."""

    nodes: int
    ranks: int
    """On each node."""
    threads: int
    """Of each rank."""
    workers: int
    """Loader processes of each rank; where there are no GPUs they share its cores."""
    after: tuple[str, ...] = ()
    """Jobs it starts after, however they end: a dependency on success might pend for ever."""
    avoided: tuple[str, ...] = ()
    """Nodes where it could not begin, beside those that the configuration excludes."""


def shape_of(config: TaskConfig, slurm: SlurmConfig) -> Shape:
    """A trial's: its ranks spread evenly over the nodes."""
    return Shape(slurm.nodes, config.ranks // slurm.nodes, config.threads, config.workers)


def gpus_per_node(shape: Shape, config: SlurmConfig) -> int:
    """GPUs to ask for on each node; `SubmissionError` where Slurm does not say whether there are any."""
    if config.gpus_per_node is not None:
        return config.gpus_per_node
    if says_gpus(_sbatch(config.sbatch)):
        return 0
    try:
        return shape.ranks if partition_has_gpus(config.partition) else 0
    except SlurmError as error:
        advice = "executor.gpus_per_node says how many GPUs to ask for"
        raise SubmissionError(f"{error}; {advice}", Refusal.SILENT) from error


def options_set(config: SlurmConfig) -> set[str]:
    """Options of sbatch that the configuration sets."""
    fields = {name for name, value in config if value is not None}
    return fields | _sbatch(config.sbatch).keys()


def parameters(shape: Shape, gpus: int, config: SlurmConfig) -> dict[str, Any]:
    """submitit's parameters for a job of that shape with that many GPUs on each node."""
    cpus = _cpus(shape, gpus, config)
    own = {"partition", "qos", "account", "constraint"}
    given = {key: value for key in own if (value := getattr(config, key)) is not None}
    excluded = [*([] if config.exclude is None else [config.exclude]), *shape.avoided]
    optional = {
        "exclude": ",".join(excluded) or None,
        "gpus_per_node": gpus or None,
        "mem": _memory(config.mem_gb),
        "dependency": f"afterany:{':'.join(shape.after)}" if shape.after else None,
    }
    return {
        **given,
        **{key: value for key, value in optional.items() if value is not None},
        "time": config.timeout_min,
        "nodes": shape.nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": cpus,
        "signal_delay_s": SAVE_BEFORE_S,
        "srun_args": [f"--cpus-per-task={cpus}", "--kill-on-bad-exit=0", "--wait=0"],
        "additional_parameters": {"requeue": True, **_sbatch(config.sbatch)},
    }


def _cpus(shape: Shape, gpus: int, config: SlurmConfig) -> int:
    """Cores on each node."""
    if gpus:
        return shape.ranks * (config.cpus_per_gpu or shape.threads + shape.workers)
    return shape.ranks * shape.threads


def _sbatch(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name.lstrip("-").replace("_", "-"): value for name, value in options.items() if value is not False
    }


def _memory(gigabytes: float | None) -> str | None:
    return None if gigabytes is None else f"{round(gigabytes * 1024)}M"
