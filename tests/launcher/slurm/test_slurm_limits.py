"""Real clusters: one takes only so many jobs of a user, one forgets them, one cannot start them on a node."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from faults.together import submit, sweep_of
from private_slurm.cluster import Cluster
from slurm_cluster import slurm_cluster
from small_sweep import SmallSweep, wait_until

from launcher.trials.find import canaries_of
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles

pytestmark = pytest.mark.processes

LIMITED = {"AccountingStorageEnforce": "limits"}


def waiting(cluster: Cluster) -> int:
    return len(cluster.check("squeue", "--noheader", "--array").splitlines())


def held(folder: Path, seeds: int) -> SmallSweep:
    return sweep_of(folder, seeds, steps=2, name="slurm", sbatch={"hold": True})


def test_what_an_account_may_not_submit_yet_is_topped_up(tmp_path: Path) -> None:
    with slurm_cluster(tmp_path / "c", nodes=1, accounting="dbd", conf=LIMITED) as cluster:
        user = cluster.place.user
        cluster.check("sacctmgr", "--immediate", "add", "account", "vision")
        cluster.check("sacctmgr", "--immediate", "add", "user", user, "account=vision", "MaxSubmitJobs=3")
        sweep = held(tmp_path / "work", 5)
        code, output = sweep.run("sweep", "quick")
        assert code == 1 and "2 trials not submitted: the cluster takes no more jobs of yours" in output
        assert waiting(cluster) == 3
        cluster.check("sacctmgr", "--immediate", "modify", "user", user, "set", "MaxSubmitJobs=9")
        submit(sweep)
        assert waiting(cluster) == 5
        assert [attempt.number for attempt in sweep.attempts()] == [1] * 5


def test_jobs_that_a_controller_forgot_are_made_up_for(tmp_path: Path) -> None:
    """It died before it saved its state: one job runs, one waits, and their numbers are given out again."""
    with slurm_cluster(tmp_path / "c", nodes=1) as cluster:
        sweep = sweep_of(tmp_path / "work", 2, steps=60, name="slurm", sbatch={"exclusive": True})
        launcher = sweep.start("sweep", "quick", "--wait")
        wait_until(lambda: any(attempt.runner(0).exists() for attempt in sweep.attempts()))
        cluster.kill_controller()
        for path in cluster.place.root.glob("state/job_state*"):
            path.unlink()
        cluster.start_controller()
        assert waiting(cluster) == 0
        for path in [path for attempt in sweep.attempts() for path in (attempt.root, attempt.heartbeat)]:
            grow_old(path)
        wait_until(lambda: has_ended(launcher, cluster))
        code, output = sweep.finish(launcher)
        assert code == 0, output
        for trial in sweep.trials():
            assert read_json(trial.metrics)["attempt"] == trial.attempt_numbers()[-1]
        assert sweep.outcomes().count("done") == 2


def test_jobs_that_a_node_could_not_start_are_made_up_for(tmp_path: Path) -> None:
    """Slurm drains the node whose prolog fails, and holds the job, which nobody releases.

    A trial goes to another node. A canary that no node could start is tried again by who stays and waits for
    the jobs behind it, and released, for these to find it, by who does not.
    """
    prolog, bad = tmp_path / "prolog.sh", tmp_path / "bad"
    prolog.write_text(f'#!/bin/sh\n! grep -q "^$SLURMD_NODENAME" {bad}\n')
    prolog.chmod(0o755)
    with slurm_cluster(tmp_path / "c", nodes=2, conf={"Prolog": prolog}) as cluster:
        bad.write_text(cluster.nodes[0])
        sweep = sweep_of(tmp_path / "one", 1, steps=2, name="slurm")
        code, output = sweep.run("sweep", "quick", "--wait")
        assert code == 0, output
        assert "(node: Slurm could not start it on its node, and holds it)" in output
        assert sweep.trial(0).attempt_numbers() == [1, 2]
        wait_until(lambda: waiting(cluster) == 0)

        bad.write_text("\n".join(cluster.nodes))
        cluster.check("scontrol", "update", "partition=main", "state=down")
        watched = with_canary(tmp_path / "two")
        launcher = watched.start("sweep", "quick", "--wait")
        wait_until(lambda: waiting(cluster) == 3)
        cluster.check("scontrol", "update", "partition=main", "state=up")
        wait_until(lambda: len(canary_of(watched).attempt_numbers()) == 2)
        bad.write_text("")
        resume(cluster)
        code, output = watched.finish(launcher)
        assert (code, watched.outcomes().count("done")) == (0, 2), output

        bad.write_text("\n".join(cluster.nodes))
        left = with_canary(tmp_path / "three")
        wait_until(lambda: "held" in cluster.check("squeue", "--noheader", "--format=%r"))
        bad.write_text("")
        resume(cluster)
        code, output = left.run("sweep", "quick")
        assert code == 0 and f"released {canary_of(left).root.name}" in output, output
        wait_until(lambda: waiting(cluster) == 0)
        assert left.outcomes() == ["done"] * 2, "their jobs went on to wait for it"


def with_canary(folder: Path) -> SmallSweep:
    """Two trials and their canary, submitted."""
    sweep = sweep_of(folder, 2, steps=4, name="slurm")
    sweep.canary = True
    submit(sweep)
    return sweep


def canary_of(sweep: SmallSweep) -> TrialFiles:
    (found,) = canaries_of(sweep.folder / "runs" / "quick")
    return found


def resume(cluster: Cluster) -> None:
    """Have the nodes work again that Slurm has drained."""
    for line in set(cluster.check("sinfo", "--noheader", "--Node", "--format", "%N %T").splitlines()):
        node, state = line.split()
        if state.startswith("drain"):
            cluster.check("scontrol", "update", f"nodename={node}", "state=resume")


def has_ended(launcher: "subprocess.Popen[str]", cluster: Cluster) -> bool:
    """Looks in as an administrator does: a node that met a job's number twice was seen to be drained."""
    resume(cluster)
    time.sleep(0.5)
    return launcher.poll() is not None


def grow_old(path: Path) -> None:
    """As if nobody had touched it for minutes: that a job is silent takes one to show."""
    if path.exists():
        then = time.time() - 300
        os.utime(path, (then, then))
