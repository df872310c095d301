"""Stages on a cluster whose launcher does not stay: children are queued behind the jobs of their parents."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from faults.slurm import Requeue, job_of, waits_again
from faults.victim import Victim, hold_each
from private_slurm.cluster import Cluster
from small_sweep import SmallSweep, wait_until

from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles

pytestmark = pytest.mark.processes


def three_stages(folder: Path, seeds: Sequence[int] = (0, 1), **pretrain: object) -> SmallSweep:
    """Two trials, a child of each, and one grandchild, of seed 1."""
    base = {"method": {"name": "supervised"}, **pretrain}
    stages = {
        "pretrain": {"task": "train", "base": base, "grid": {"seed": list(seeds)}},
        "adapt": child_of("pretrain", "source_only"),
        "third": {**child_of("adapt", "joint"), "match": {"seed": 1}, "grid": {"seed": [5]}},
    }
    return SmallSweep(folder, {}, 8, stages=stages, name="slurm", timeout_min=10)


def child_of(stage: str, method: str) -> dict:
    return {"task": "train", "from": {"init_from": stage}, "base": {"method": {"name": method}}}


def wait_for_an_empty_queue(cluster: Cluster) -> None:
    wait_until(lambda: not cluster.check("squeue", "--noheader").strip())


def start_again(cluster: Cluster, sweep: SmallSweep) -> Victim:
    """`scontrol requeue` of the parent with seed 0; its child still waits when it does so again itself."""
    (path,) = sweep.folder.glob("runs/quick/pretrain-*-s0-*")
    parent = Victim(TrialFiles(path))
    hold_each([parent])
    job = job_of(cluster, parent.attempt)
    requeue = Requeue(cluster, parent)
    requeue.strike()
    requeue.carry_on()
    wait_until(lambda: waits_again(cluster, job))
    assert f"afterany:{job}(" in cluster.check("squeue", "--noheader", "--array", "--format=%E")
    return parent


def test_three_generations_are_submitted_at_once_and_run_in_order(slurm: Cluster, tmp_path: Path) -> None:
    """Also where the job of a parent is started once more."""
    sweep = three_stages(tmp_path, steps=30)
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    assert output.count("queued   ") == 5, output
    waiting = slurm.check("squeue", "--noheader", "--array", "--format=%E").split()
    assert sum(condition.startswith("afterany:") for condition in waiting) == 3
    parent = start_again(slurm, sweep)
    wait_for_an_empty_queue(slurm)
    interrupted, *others = parent.statuses()
    assert interrupted in ("saved", None) and others == ["done"]
    assert sorted(sweep.outcomes()) == sorted(["done"] * 5 + [interrupted or "none"])
    for files in sweep.trials():
        for record in read_json(files.metrics)["parents"].values():
            parent = read_json(files.root.parent / record["trial"] / "metrics.json")
            assert record["sha256"] == parent["outputs"]["segmenter"]["sha256"]
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and "0 to run" in output


def test_children_of_a_failed_parent_end_at_once_and_wait(slurm: Cluster, tmp_path: Path) -> None:
    sweep = three_stages(tmp_path, seeds=[1], optimizer={"name": "sgd", "lr": 1e30})
    assert sweep.run("sweep", "quick")[0] == 0
    wait_for_an_empty_queue(slurm)
    assert sorted(sweep.outcomes()) == ["failed nan"] + ["waits"] * 2
    code, output = sweep.run("sweep", "quick")
    assert code == 1 and "quick: 1 of 3 trials failed, 2 wait for parents that are not done" in output
    assert output.count("--retry nan takes it up") == 3, output
    assert not slurm.check("squeue", "--noheader").strip()
