"""What the doctor says about a real Slurm, in health and with something wrong."""

from pathlib import Path

import pytest
from private_slurm.cluster import Cluster
from private_slurm.processes import poll
from slurm_cluster import slurm_cluster

from launcher.doctor.finding import Finding, Level, Scope
from launcher.doctor.slurm import check_slurm

pytestmark = pytest.mark.processes


def look() -> list[Finding]:
    return list(check_slurm(Scope(Path())))


def about(words: str) -> Finding:
    """The one finding whose message has these words."""
    [finding] = [each for each in look() if words in each.message]
    return finding


def test_a_healthy_cluster(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINFO_FORMAT", "%n")  # of a shell, for its user's eyes
    monkeypatch.setenv("SINFO_PARTITION", "none")
    assert {each.level for each in look()} == {Level.OK, Level.NOTE}
    nodes = about("nodes usable")
    assert nodes.facts["nodes"] == {"idle": 3} and nodes.facts["version"]
    main = about("partition main (default)")
    assert (main.facts["nodes"], main.facts["gpus"], main.facts["preempt_mode"]) == (3, 6, "OFF")
    assert about("partition low").facts["grace_time"] == 5
    assert about("array indices").facts["max_array_size"] == 1001
    assert "300 s" in about("no accounting").message
    assert about("preemption").facts["sends_user_signal"]
    assert about("no grace time").facts["partitions"] == ["abrupt"]
    assert about("KillWait").facts["kill_wait"] == 5


def test_nodes_and_partitions_out_of_service(slurm: Cluster) -> None:
    node = slurm.nodes[0]
    slurm.check("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    slurm.check("scontrol", "update", "partitionname=high", "state=down")
    try:
        assert about("2 of 3 nodes").level is Level.WARNING
        assert about("partition high").level is Level.WARNING
    finally:
        slurm.check("scontrol", "update", f"nodename={node}", "state=resume")
        slurm.check("scontrol", "update", "partitionname=high", "state=up")


def test_a_controller_that_is_down(slurm: Cluster) -> None:
    slurm.stop_controller()
    try:
        [finding] = look()
    finally:
        slurm.start_controller()
    assert finding.level is Level.PROBLEM
    assert "DOWN" in finding.message and str(slurm.conf) in finding.advice


def test_no_cluster_is_configured(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/etc/slurm/slurm.conf").exists():
        pytest.skip("this host belongs to a Slurm of its own")
    monkeypatch.delenv("SLURM_CONF")
    [finding] = look()
    assert finding.level is Level.NOTE and "make slurm-dev" in finding.message


def test_jobcomp_tells_how_jobs_ended(tmp_path: Path) -> None:
    with slurm_cluster(tmp_path / "c", nodes=1, accounting="jobcomp") as cluster:
        cluster.check("srun", "true")
        assert poll((cluster.root / "log" / "jobcomp.txt").exists, 10)
        assert about("ended jobs are told by").level is Level.OK


def test_accounting_and_the_limits_of_an_account(tmp_path: Path) -> None:
    limits = {"AccountingStorageEnforce": "limits"}
    with slurm_cluster(tmp_path / "c", nodes=1, accounting="dbd", conf=limits) as cluster:
        assert about("accounting by slurmdbd answers").level is Level.OK
        user = cluster.place.user
        cluster.check("sacctmgr", "--immediate", "add", "account", "vision")
        cluster.check("sacctmgr", "--immediate", "add", "user", user, "account=vision", "MaxSubmitJobs=7")
        own = about("yours: Account vision, MaxSubmitJobs 7")
        assert own.facts["associations"][0]["MaxSubmitJobs"] == "7"
