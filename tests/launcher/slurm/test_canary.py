"""Canaries on a real cluster: arrays wait for them, and nothing else starts where one fails."""

from pathlib import Path

import pytest
from private_slurm.cluster import Cluster
from small_sweep import SmallSweep, wait_until

from launcher.canary import STEPS
from launcher.find import canaries_of
from segda_core.layout import TrialFiles, read_json

pytestmark = pytest.mark.processes


def three_kinds(folder: Path, **source_only: object) -> SmallSweep:
    """Two trials of a kind, one of another, and a child of each of the two; nobody waits for the jobs."""
    stages = {
        "first": {
            "task": "train",
            "base": {"method": {"name": "source_only"}, **source_only},
            "grid": {"seed": [0, 1]},
        },
        "alone": {"task": "train", "base": {"method": {"name": "supervised"}}},
        "child": {
            "task": "train",
            "from": {"init_from": "first"},
            "base": {"method": {"name": "joint"}},
        },
    }
    sweep = SmallSweep(folder, {}, 6, stages=stages, name="slurm", timeout_min=10)
    sweep.canary = True
    return sweep


def run_to_the_end(sweep: SmallSweep, slurm: Cluster) -> str:
    """Submit, then wait for an empty queue; what the submission printed."""
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    wait_until(lambda: not slurm.check("squeue", "--noheader").strip())
    return output


def canaries(sweep: SmallSweep) -> list[TrialFiles]:
    return canaries_of(sweep.folder / "runs" / "quick")


def test_one_trial_of_each_kind_goes_first(slurm: Cluster, tmp_path: Path) -> None:
    sweep = three_kinds(tmp_path)
    output = run_to_the_end(sweep, slurm)
    assert output.count("queued   canary-") == 3 and output.count("queued   ") == 8, output
    results = [read_json(canary.metrics) for canary in canaries(sweep)]
    assert [result["steps"] for result in results] == [STEPS] * 3
    assert sweep.outcomes() == ["done"] * 5
    for files in sweep.trials():
        (canary,) = (each for each in canaries(sweep) if method_of(each) == method_of(files))
        assert files.attempt(1).environment.stat().st_mtime > canary.metrics.stat().st_mtime
    assert "canary" not in sweep.run("leaderboard", "quick")[1]


def test_where_one_fails_its_kind_does_not_start(slurm: Cluster, tmp_path: Path) -> None:
    sweep = three_kinds(tmp_path, optimizer={"name": "sgd", "lr": 1e30})
    run_to_the_end(sweep, slurm)
    assert sorted(sweep.outcomes()) == ["done"] + ["waits"] * 4
    code, output = sweep.run("sweep", "quick", "--wait")
    assert code == 1 and output.count("waits for canary-source_only") == 2, output
    assert "failed   canary-source_only" in output, "a canary that failed is tried again by the next launch"


def method_of(files: TrialFiles) -> object:
    return files.root.name.split("-")[1]
