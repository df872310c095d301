"""Whole sweeps with real processes: everything done once, whatever happens meanwhile."""

import json
import random
import re
import signal
import time
from pathlib import Path

import pytest
import yaml
from small_sweep import SmallSweep, kill, wait_until

from segda_core.files import read_json, write_json

pytestmark = pytest.mark.processes

STEPS = 120
METHODS = {"method": [{"name": "source_only"}, {"name": "joint"}]}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallSweep, list[tuple[int, str]]]:
    """A sweep that two launchers began at once, and how these ended."""
    sweep = SmallSweep(tmp_path_factory.mktemp("uninterrupted"), METHODS, STEPS)
    launchers = [sweep.start("sweep", "quick") for _ in range(2)]
    return sweep, [sweep.finish(launcher) for launcher in launchers]


@pytest.fixture(scope="module")
def uninterrupted(shared: tuple[SmallSweep, list[tuple[int, str]]]) -> SmallSweep:
    return shared[0]


def test_two_launchers_share_a_sweep(shared: tuple[SmallSweep, list[tuple[int, str]]]) -> None:
    sweep, endings = shared
    assert [code for code, _ in endings] == [0, 0], endings
    assert sweep.outcomes() == ["done"] * 2
    assert sum(output.count("started ") for _, output in endings) == 2
    assert sweep.processes() == []


def test_a_second_call_runs_nothing(uninterrupted: SmallSweep) -> None:
    before = uninterrupted.results()
    joint, other = uninterrupted.trials()
    settings = joint.config.read_text()
    joint.config.unlink()
    other.trial.unlink()
    started = time.monotonic()
    code, output = uninterrupted.run("sweep", "quick")
    assert (code, time.monotonic() - started < 6) == (0, True)
    assert "0 to run" in output and output.rstrip().endswith("quick: done")
    assert uninterrupted.outcomes() == ["done", "done"]
    assert uninterrupted.results() == before
    assert (joint.config.read_text(), other.trial.exists()) == (settings, True), (
        "what was lost is written again"
    )
    assert (uninterrupted.folder / "runs/quick/leaderboard.md").exists()


def test_rerun_starts_from_the_first_step(uninterrupted: SmallSweep) -> None:
    joint, _ = uninterrupted.trials()
    joint.cancel.touch()  # it had finished before its runner looked
    before = uninterrupted.results()
    code, output = uninterrupted.run("sweep", "quick", "--rerun", joint.root.name)
    assert code == 0, output
    assert read_json(joint.attempt(2).submission)["fresh"]
    assert read_json(joint.metrics)["attempt"] == 2
    first_row = joint.attempt(2).history.read_text().splitlines()[0]
    assert '"step": 1,' in first_row
    assert uninterrupted.results() == before


def test_killed_anywhere_it_ends_as_if_nothing_happened(
    uninterrupted: SmallSweep, tmp_path: Path, seed: int
) -> None:
    """kill -9 of a worker, a torchrun, a runner and the launcher; the seed chooses when."""
    chance = random.Random(seed)
    sweep = SmallSweep(tmp_path, METHODS, STEPS, retry=6)
    launcher = sweep.start("sweep", "quick")
    for role in chance.sample(["worker", "torchrun", "runner"], 3):
        wait_until(lambda role=role: sweep.processes(role) or launcher.poll() is not None)
        time.sleep(chance.uniform(0, 4))
        if found := sweep.processes(role):
            kill(chance.choice(found))
    time.sleep(chance.uniform(0, 4))
    launcher.kill()
    launcher.communicate()
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    assert sweep.processes() == []
    assert sweep.results() == uninterrupted.results()
    assert sweep.histories() == uninterrupted.histories()
    for files in sweep.trials():
        assert read_json(files.metrics)["attempt"] == files.attempt_numbers()[-1], (
            "ran again after it was done"
        )


def test_trials_made_with_set_beside_a_plan_are_said_to_be_missing_from_the_board(
    uninterrupted: SmallSweep,
) -> None:
    write_json(uninterrupted.folder / "runs/quick/plan.json", {"schema": 1, "data": {"small": []}})
    for trials in ("seed=0", f"steps={STEPS}"):
        code, output = uninterrupted.run("sweep", "quick", "--set", trials)
        assert code == 0 and "0 to run" in output, output
        assert "of these trials are not in the plan: segda leaderboard quick --all" in output


def test_gpus_that_torch_cannot_use_fail_the_trial_and_name_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that lists a GPU, as a stand-in, which no torch can see."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho '0, GPU-aaaa'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    sweep = SmallSweep(tmp_path, {"method": [{"name": "source_only"}]}, steps=1)
    code, output = sweep.run("sweep", "quick")
    assert (code, sweep.outcomes()) == (1, ["failed config"]), output
    (attempt,) = sweep.attempts()
    assert (
        "was given GPUs (CUDA_VISIBLE_DEVICES=GPU-aaaa), but torch" in read_json(attempt.outcome)["message"]
    )


def test_ctrl_c_saves_and_leaves_nothing_behind_but_the_score_so_far(tmp_path: Path) -> None:
    """Which is still shown when the trial was resumed and interrupted again."""
    sweep = SmallSweep(tmp_path, {"method": [{"name": "source_only"}]}, steps=100_000)

    def stop_when(pattern: str) -> dict:
        launcher = sweep.start("sweep", "quick", "--set", "evaluation.every=2")
        wait_until(lambda: list(tmp_path.glob(f"runs/quick/*/attempts/{pattern}")))
        launcher.send_signal(signal.SIGINT)
        code, output = sweep.finish(launcher)
        assert code == 130 and "the same command continues" in output, output
        assert sweep.processes() == []
        (status,) = json.loads(sweep.run("status", "quick", "--json")[1])["quick"]
        return status

    first = stop_when("1/checkpoints/*.pt")
    second = stop_when("2/heartbeat.json")  # before torch is loaded: it makes one step and evaluates nothing
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert second["miou"] == first["miou"] > 0
    assert second["step"] == first["step"] + 1
    assert sweep.outcomes() == ["saved", "saved"]
    shown = sweep.run("explain", second["id"], "--set", "evaluation.every=2")[1]
    assert f"missing, step {second['step']}/100000, mIoU" in shown


def test_a_failing_trial_does_not_stop_the_others(tmp_path: Path) -> None:
    folder = tmp_path / 'with "quotes", [red] it\'s spaces\nand a second line'
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "runs").symlink_to(tmp_path / "elsewhere")
    optimizers = [{"name": "sgd", "lr": rate} for rate in (1e30, 1e-2)]
    grid = {"method": [{"name": "source_only"}], "optimizer": optimizers}
    sweep = SmallSweep(folder, grid, steps=8, max_parallel=1)
    code, output = sweep.run("sweep", "quick")
    assert code == 1, output
    assert sorted(sweep.outcomes()) == ["done", "failed nan"]
    assert re.findall("^(failed|done) +source_only", output, re.MULTILINE) == ["failed", "done"], output
    assert "log.txt" in output
    assert output.rstrip().endswith("quick: 1 of 2 trials failed")
    code, output = sweep.run("sweep", "quick")
    assert code == 1 and "0 to run" in output and "--retry nan" in output


def test_a_truncated_image_fails_its_trial_until_the_profile_skips_it(tmp_path: Path) -> None:
    """`on_bad` is in no trial's id: the same trial goes on, with today's settings."""
    sweep = SmallSweep(tmp_path, {"method": [{"name": "source_only"}]}, steps=8)
    image = tmp_path / "data/render/images/00002.png"
    image.write_bytes(image.read_bytes()[:-200])
    code, output = sweep.run("sweep", "quick")
    assert code == 1 and "00002.png" in output, output
    profile = tmp_path / "sweeps/data/small.yaml"
    content = yaml.safe_load(profile.read_text())
    content["domains"]["render"]["on_bad"] = "skip"
    profile.write_text(yaml.safe_dump(content))
    code, output = sweep.run("sweep", "quick", "--retry", "data")
    assert code == 0, output
    assert sweep.outcomes() == ["failed data", "done"]
