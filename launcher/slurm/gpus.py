"""Whether jobs of a partition can have GPUs, so that a sweep need not say which kind of cluster it meets."""

import os
import re
from collections.abc import Mapping
from functools import cache

from launcher.slurm.command import ask

OF_ANY_KIND = frozenset({"gres", "tres-per-job", "tres-per-node", "tres-per-task"})
"""Options of sbatch that may ask for GPUs or for something else."""

GPU = re.compile(r"\bgpu\b")


def says_gpus(options: Mapping[str, object]) -> bool:
    """Whether a sweep's options of sbatch ask for GPUs, or for none, in their own way."""
    asked = [str(value) for name, value in options.items() if name in OF_ANY_KIND]
    named = any(name.startswith("gpus") for name in options)
    return named or any(GPU.search(value) or value.lower() == "none" for value in asked)


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
    lines = ask(["sinfo", "--all", "--noheader", "--format=%P|%G"]).splitlines()
    told = [line.partition("|") for line in lines]
    return tuple((name.rstrip("*"), name.endswith("*"), bool(GPU.search(gres))) for name, _, gres in told)
