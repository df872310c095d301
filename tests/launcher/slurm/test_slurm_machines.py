"""Nodes that look like machines of their own: a process id or a host's name means nothing on another."""

import os
import subprocess
from pathlib import Path

import pytest
from faults.together import submit, sweep_of
from faults.victim import Victim, hold_each
from left_alone import assert_as_left_alone
from slurm_cluster import slurm_cluster
from small_sweep import wait_until

from segda_core.files import read_json

pytestmark = pytest.mark.processes

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def needs_namespaces() -> None:
    probe = [
        "unshare",
        "--uts",
        "--pid",
        "--mount",
        "--fork",
        "--mount-proc",
        "mount",
        "--make-rprivate",
        "/",
    ]
    if os.getuid() != 0 or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("NODES CANNOT LOOK LIKE MACHINES: that takes root and namespaces")


def test_a_trial_on_two_machines_outlives_one_of_them(tmp_path: Path) -> None:
    """Its result is that of two ranks here that nothing happened to."""
    needs_namespaces()
    with slurm_cluster(tmp_path / "slurm", nodes=3, machines=True) as cluster:
        sweep = sweep_of(tmp_path / "apart", 1, ranks=2, name="slurm", nodes=2)
        submit(sweep)
        victim = Victim(sweep.trial(0))
        hold_each([victim])
        runners = [read_json(victim.attempt.runner(node)) for node in (0, 1)]
        assert [runner["host"] for runner in runners] == cluster.nodes[:2]
        assert len({runner["boot_id"] for runner in runners} | {BOOT_ID.read_text().strip()}) == 3
        code, output = sweep.run("status", "quick")
        assert code == 0 and "running" in output, output
        cluster.kill_node(cluster.nodes[1])
        victim.go_on()
        wait_until(sweep.trial(0).metrics.exists)
        assert_as_left_alone(sweep)
        first, *later = victim.attempts()
        assert len(later) == 1 and read_json(first.outcome)["cause"] in ("killed", "node", "nccl")
        assert read_json(later[0].environment)["first_step"] > 0
        hosts = {read_json(later[0].runner(node))["host"] for node in (0, 1)}
        assert hosts == {cluster.nodes[0], cluster.nodes[2]}
