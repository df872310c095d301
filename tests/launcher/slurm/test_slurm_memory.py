"""A job that takes more memory than it asked for, where the cluster holds jobs to that (control groups)."""

import os
from pathlib import Path

import pytest
from slurm_cluster import named, running_cluster
from small_sweep import SmallSweep

pytestmark = pytest.mark.processes

CGROUPS = (
    "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nConstrainRAMSpace=yes\n"
    "ConstrainSwapSpace=yes\nAllowedSwapSpace=0\n"
)


def test_running_out_of_memory_is_an_experiments_failure(tmp_path: Path) -> None:
    """Importing torch takes more than these 128 MB."""
    if not os.access("/sys/fs/cgroup/memory/memory.limit_in_bytes", os.W_OK):
        pytest.skip("CONTROL GROUPS OF VERSION 1, which this Slurm limits memory by, CANNOT BE MADE HERE")
    with running_cluster(tmp_path / "slurm", nodes=1, conf={"TaskPlugin": "task/cgroup"}) as cluster:
        cluster.stop_node(cluster.nodes[0])
        (cluster.conf.parent / "cgroup.conf").write_text(CGROUPS)
        cluster.start_node(cluster.nodes[0])
        grid = {"method": [{"name": "source_only"}], "seed": [0]}
        sweep = SmallSweep(tmp_path / "work", grid, steps=2, name="slurm", mem_gb=0.125)
        with named(cluster):
            code, output = sweep.run("sweep", "quick", "--wait")
        assert (code, sweep.outcomes()) == (1, ["failed oom"]), output
