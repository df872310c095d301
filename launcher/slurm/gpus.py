"""Whether jobs of a partition can have GPUs, so that a sweep need not say which kind of cluster it meets."""

import os
import re
from functools import cache

from launcher.slurm.command import ask

GPU_OPTIONS = frozenset(
    {"gres", "gpus", "gpus-per-task", "gpus-per-socket", "tres-per-job", "tres-per-node", "tres-per-task"}
)
"""Options of sbatch by which a sweep may ask for GPUs in its own way."""

GPU = re.compile(r"\bgpu\b")


def partition_has_gpus(partition: str | None) -> bool:
    """Whether nodes of a partition (of several by commas, one's; None: the default) have GPUs.

    `SlurmError` where the controller does not say.
    """
    wanted = partition or os.environ.get("SBATCH_PARTITION")
    names = None if wanted is None else wanted.split(",")
    return any(has and (default if names is None else name in names) for name, default, has in _partitions())


@cache
def _partitions() -> tuple[tuple[str, bool, bool], ...]:
    """Name, whether it is the default, and whether nodes have GPUs; a line for each kind of node."""
    lines = ask(["sinfo", "--noheader", "--format=%P|%G"]).splitlines()
    told = [line.partition("|") for line in lines]
    return tuple((name.rstrip("*"), name.endswith("*"), bool(GPU.search(gres))) for name, _, gres in told)
