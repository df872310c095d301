"""Sweeps with stages and real processes: children wait, start from their parent, notice when it changes."""

import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_sweep import SmallSweep, kill, wait_until

from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles

pytestmark = pytest.mark.processes

STEPS = 40
"""Seconds for two stages, one after the other, on a machine that does more than this."""
PRETRAIN = {"task": "train", "base": {"method": {"name": "supervised"}}}
ADAPT = {
    "task": "train",
    "from": {"init_from": "pretrain"},
    "base": {"method": {"name": "source_only"}},
}


def two_stages(
    folder: Path, steps: int = STEPS, seeds: int = 2, pretrain: dict | None = None, **settings
) -> SmallSweep:
    """Parents, by seed, with one child each; the target's images can be repainted."""
    base = {**PRETRAIN["base"], **(pretrain or {})}
    grid = {"seed": list(range(seeds))}
    stages = {"pretrain": {**PRETRAIN, "base": base, "grid": grid}, "adapt": {**ADAPT, "grid": grid}}
    sweep = SmallSweep(folder, {}, steps, stages=stages, **settings)
    repaint(folder, 0)
    return sweep


def repaint(folder: Path, shade: int) -> None:
    """Other pictures under the same names and sizes in bytes: nothing but training notices."""
    for path in sorted((folder / "data/camera/leftImg8bit/train").rglob("*.png")):
        with Image.open(path) as image:
            pixels = np.asarray(image)
        Image.fromarray((pixels // 2 + shade).astype(np.uint8)).save(path, compress_level=0)


def of(sweep: SmallSweep, beginning: str) -> TrialFiles:
    (files,) = [files for files in sweep.trials() if files.root.name.startswith(beginning)]
    return files


@pytest.fixture(scope="module")
def waited(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallSweep, str]:
    """The pair with seed 0 done by two launchers, the other by one; what that of the child alone printed."""
    sweep = two_stages(tmp_path_factory.mktemp("uninterrupted"))
    first = sweep.start("sweep", "quick", "--only", "stage=pretrain", "--only", "seed=0")
    wait_until(lambda: sweep.processes("runner"))
    code, said = sweep.run("sweep", "quick", "--only", "stage=adapt", "--only", "seed=0")
    assert code == 0, said
    assert sweep.finish(first)[0] == 0
    assert sweep.outcomes() == ["done"] * 2
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    return sweep, said


@pytest.fixture(scope="module")
def uninterrupted(waited: tuple[SmallSweep, str]) -> SmallSweep:
    return waited[0]


@pytest.fixture
def done(uninterrupted: SmallSweep, tmp_path: Path) -> SmallSweep:
    """A copy that a test may change: its trials are done, and its own."""
    sweep = two_stages(tmp_path)
    shutil.copytree(uninterrupted.folder, tmp_path, dirs_exist_ok=True)
    return sweep


def test_children_start_after_their_parents_and_say_so(uninterrupted: SmallSweep) -> None:
    assert uninterrupted.outcomes() == ["done"] * 4
    for seed in (0, 1):
        parent, child = (
            of(uninterrupted, f"pretrain-supervised-small-nall-s{seed}"),
            of(uninterrupted, f"adapt-source_only-small-s{seed}"),
        )
        record = read_json(child.metrics)["parents"]["init_from"]
        output = read_json(parent.metrics)["outputs"]["segmenter"]
        assert record == {
            "trial": parent.root.name, "output": "segmenter", "uses_target_labels": True, **output,
        }  # fmt: skip
        assert read_json(child.attempt(1).submission)["parents"] == {"init_from": record}
        started = read_json(child.attempt(1).submission)["time"]
        assert started > parent.metrics.stat().st_mtime
        if seed == 1:  # of which one launch had both: another is told by the result, a little earlier
            assert started > read_json(parent.attempt(1).outcome)["time"]
        assert read_json(child.metrics)["uses_target_labels"] is True
    code, output = uninterrupted.run("sweep", "quick")
    assert code == 0 and "0 to run" in output
    plan = read_json(uninterrupted.folder / "runs/quick/plan.json")["data"]["small"]
    assert sorted(plan) == [files.root.name for files in uninterrupted.trials()]
    rows = read_json(uninterrupted.folder / "runs/quick/leaderboard.json")["tables"][0]["rows"]
    assert {(row["axes"]["stage"], row["uses_target_labels"]) for row in rows} == {
        ("pretrain", True),
        ("adapt", True),
    }


def test_prune_keeps_what_children_read(uninterrupted: SmallSweep) -> None:
    code, output = uninterrupted.run("prune", "quick")
    assert code == 0 and "checkpoints" in output
    for files in uninterrupted.trials():
        assert [path.name for path in files.attempt(1).checkpoints.iterdir()] == ["final.pt"]


def test_killed_anywhere_it_ends_as_if_nothing_happened(
    uninterrupted: SmallSweep, tmp_path: Path, seed: int
) -> None:
    """kill -9 of a parent's worker, then of the launcher while parents or children run; the seed chooses."""
    chance = random.Random(seed)
    sweep = two_stages(tmp_path, seeds=1, retry=6)
    launcher = sweep.start("sweep", "quick")
    wait_until(lambda: sweep.processes("worker"))
    time.sleep(chance.uniform(0, 5))
    kill(chance.choice(sweep.processes("worker") or [launcher.pid]))
    if chance.random() < 0.5:
        wait_until(
            lambda: list(tmp_path.glob("runs/quick/adapt-*/attempts/1")) or launcher.poll() is not None
        )
    time.sleep(chance.uniform(0, 5))
    launcher.kill()
    launcher.communicate()
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    assert sweep.processes() == []
    assert len(sweep.results()) == 2 and sweep.results().items() <= uninterrupted.results().items()


def test_children_of_a_failed_parent_wait_and_the_launch_ends(tmp_path: Path) -> None:
    broken = {"optimizer": {"name": "sgd", "lr": 1e30}}
    sweep = two_stages(tmp_path, steps=8, seeds=1, pretrain=broken)
    code, output = sweep.run("sweep", "quick")
    assert code == 1, output
    assert sweep.outcomes() == ["failed nan"]
    parent, child = of(sweep, "pretrain-supervised-small-nall-s0"), of(sweep, "adapt-source_only-small-s0")
    assert f"left     {child.root.name}: waits for {parent.root.name}: failed (nan)" in output
    assert "quick: 1 of 2 trials failed, 1 wait" in output
    again_code, again = sweep.run("sweep", "quick")
    assert again_code == 1 and "0 to run" in again
    assert f"left     {child.root.name}: waits for {parent.root.name}: failed (nan); --retry nan" in again
    code, status = sweep.run("status", "quick", "--json")
    assert f'"waits_for": [\n    "{parent.root.name}"' in status


def test_cancel_stops_running_and_pending_trials_and_their_children_wait(tmp_path: Path) -> None:
    sweep = two_stages(tmp_path, steps=100_000)
    launcher = sweep.start("sweep", "quick", "--max-parallel", "1")
    wait_until(lambda: list(tmp_path.glob("runs/quick/pretrain-*/attempts/1/checkpoints/*.pt")))
    output = sweep.run("cancel", "quick", "stage=pretrain")[1]
    assert output.count("cancelled  pretrain-") == output.count("waits      adapt-") == 2
    code, output = sweep.finish(launcher)
    assert code == 1 and output.count(": cancelled\n") == 2, output
    assert sweep.outcomes() == ["cancelled"] and sweep.processes() == []
    code, output = sweep.run("sweep", "quick", "--only", "stage=pretrain")
    assert code == 0, output  # nobody waits for them
    dry_run = sweep.run("sweep", "quick", "--dry-run", "--retry", "cancelled")[1]
    assert "4 trials: 4 to run" in dry_run


def test_a_parent_under_another_launcher_is_waited_for(waited: tuple[SmallSweep, str]) -> None:
    _, said = waited
    assert said.count("waits for pretrain-") == 1 and said.count("done     adapt-") == 1


def test_a_parent_with_another_result_makes_its_child_stale(done: SmallSweep) -> None:
    sweep = done
    parent, child = of(sweep, "pretrain-supervised-small-nall-s0"), of(sweep, "adapt-source_only-small-s0")
    other = of(sweep, "adapt-source_only-small-s1")
    code, output = sweep.run("sweep", "quick", "--rerun", parent.root.name)
    assert code == 0 and "but" not in output.splitlines()[-1], output  # the same result: children stay done
    repaint(sweep.folder, 90)
    code, output = sweep.run("sweep", "quick", "--rerun", parent.root.name)
    assert code == 0 and output.rstrip().endswith("quick: done, but 1 stale"), output
    status = sweep.run("status", "quick")[1]
    assert f"{child.root.name}: its parent {parent.root.name} changed since" in " ".join(status.split())
    before = read_json(child.metrics)["parents"]["init_from"]["sha256"]
    code, output = sweep.run("sweep", "quick", "--rerun", "stale")
    assert code == 0 and output.count("started ") == 1 and output.rstrip().endswith("quick: done"), output
    record = read_json(child.metrics)["parents"]["init_from"]
    assert record["sha256"] == read_json(parent.metrics)["outputs"]["segmenter"]["sha256"] != before
    assert other.attempt_numbers() == [1]


def test_a_missing_output_of_a_parent_fails_its_child_by_name(done: SmallSweep) -> None:
    sweep = done
    parent = of(sweep, "pretrain-supervised-small-nall-s0")
    shutil.rmtree(of(sweep, "adapt-source_only-small-s0").root)
    (parent.attempt(1).checkpoints / "final.pt").unlink()
    code, output = sweep.run("sweep", "quick")
    assert code == 1 and sorted(sweep.outcomes()) == ["done"] * 3 + ["failed data"], output
    assert f"{parent.root.name}/attempts/1/checkpoints/final.pt: missing" in output
