"""Canaries on a real cluster: arrays wait for them, and nothing else starts where one fails."""

from collections.abc import Iterator

import pytest
from private_slurm.cluster import Cluster
from slurm_cluster import settle
from small_sweep import SmallSweep, wait_until

from launcher.launching.canary import STEPS
from launcher.trials.find import canaries_of
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles

pytestmark = pytest.mark.processes

SOUND = ("supervised", "joint")
STAGES = {
    "sound": {
        "task": "train",
        "base": {"method": {"name": "supervised"}},
    },
    "child": {
        "task": "train",
        "from": {"init_from": "sound"},
        "base": {"method": {"name": "joint"}},
    },
    "broken": {
        "task": "train",
        "base": {"method": {"name": "source_only"}, "optimizer": {"name": "sgd", "lr": 1e30}},
        "grid": {"seed": [0, 1]},
    },
    "in_vain": {
        "task": "train",
        "from": {"init_from": "broken"},
        "base": {"method": {"name": "adaptsegnet", "channels": 4}},
    },
}
"""Four kinds: a trial and its child that go well, two that cannot, with a child of each."""


@pytest.fixture(scope="module")
def submitted(
    shared_slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SmallSweep, str]]:
    """The sweep when its jobs are over, which nobody waited for, and what the submission printed."""
    sweep = SmallSweep(
        tmp_path_factory.mktemp("canaries"), {}, 6, stages=STAGES, name="slurm", timeout_min=10
    )
    sweep.canary = True
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    wait_until(lambda: not shared_slurm.check("squeue", "--noheader").strip())
    yield sweep, output
    settle(shared_slurm)


def method_of(files: TrialFiles) -> str:
    return files.root.name.split("-")[1]


def test_one_trial_of_each_kind_goes_first(submitted: tuple[SmallSweep, str]) -> None:
    sweep, output = submitted
    assert output.count("queued   canary-") == 4 and output.count("queued   ") == 10, output
    canaries = {method_of(files): files for files in canaries_of(sweep.folder / "runs" / "quick")}
    assert len(canaries) == 4
    assert [read_json(canaries[method].metrics)["steps"] for method in SOUND] == [STEPS] * 2
    assert all(list(canaries[method].attempt(1).checkpoints.glob("[0-9]*.pt")) for method in SOUND)
    sound = [files for files in sweep.trials() if method_of(files) in SOUND]
    assert [read_json(files.attempt(1).outcome)["status"] for files in sound] == ["done"] * 2
    for files in sound:
        canary = canaries[method_of(files)]
        assert files.attempt(1).environment.stat().st_mtime > canary.metrics.stat().st_mtime
    assert "canary" not in sweep.run("leaderboard", "quick")[1]


def test_where_one_fails_its_kind_does_not_start(submitted: tuple[SmallSweep, str]) -> None:
    sweep, _ = submitted
    assert sorted(sweep.outcomes()) == ["done"] * 2 + ["waits"] * 4
    code, output = sweep.run("sweep", "quick", "--wait")
    assert code == 1 and output.count("waits for canary-source_only") == 2, output
    assert output.rstrip().endswith("quick: 2 wait for parents that are not done, 2 did not start"), output
    assert "failed   canary-source_only" in output, "a canary that failed is tried again by the next launch"
