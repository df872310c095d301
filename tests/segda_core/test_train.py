"""`python -m segda_core.train` as the runner starts it: signals, parents, errors."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from ranks import endings, start_training
from trials import SIZES, run, skipping, small_config, write_trial

from segda_core import checkpoint
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles

STEPS = 120
PATIENCE = 300.0


def start(trial: TrialFiles, number: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "segda_core.train", str(trial.root), "--attempt", str(number)]
    with trial.attempt(number).log.open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def networks(trial: TrialFiles, number: int, step: int) -> dict:
    return checkpoint.load(trial.attempt(number).checkpoints / f"{step}.pt")["networks"]


def test_signs_of_life_need_no_torch():
    program = "import sys, segda_core.train; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.processes
def test_terminated_and_resumed_equals_uninterrupted(root, tmp_path):
    config = small_config(root, "joint", steps=STEPS, checkpoint={"every": 1000})
    whole = write_trial(tmp_path / "whole", config)
    trial = write_trial(tmp_path / "a trial's folder", config)
    disturbed = start(trial, 1)
    wait_for(trial.attempt(1).history)
    disturbed.send_signal(signal.SIGTERM)
    disturbed.send_signal(signal.SIGUSR2)

    assert disturbed.wait(PATIENCE) == 0
    step = read_json(trial.attempt(1).saved)["step"]
    assert 0 < step < STEPS
    trial.attempt(2).root.mkdir()
    assert start(trial, 2).wait(PATIENCE) == 0
    run(whole)
    assert read_json(trial.attempt(2).environment)["first_step"] == step
    resumed, expected = networks(trial, 2, STEPS), networks(whole, 1, STEPS)
    for name, network in expected.items():
        assert all(torch.equal(resumed[name][key], tensor) for key, tensor in network.items())
    assert read_json(trial.metrics)["iou"] == read_json(whole.metrics)["iou"]
    assert read_json(trial.attempt(2).heartbeat)["step"] == STEPS


@pytest.mark.processes
def test_a_signal_to_one_rank_saves_and_ends_both(root, tmp_path):
    trial = write_trial(tmp_path / "trial", small_config(root, ranks=2, steps=100_000))
    ranks = start_training(trial, 2)
    wait_for(trial.attempt(1).history)
    os.kill(ranks[1].pid, signal.SIGUSR2)

    assert endings(ranks) == [0, 0]
    step = read_json(trial.attempt(1).saved)["step"]
    assert (trial.attempt(1).checkpoints / f"{step}.pt").exists()
    assert not (trial.attempt(1).root / "errors").exists()


@pytest.mark.processes
def test_two_ranks_say_together_what_they_could_not_use(root, tmp_path):
    copy = tmp_path / "domains"
    shutil.copytree(root, copy)
    bad = [
        *sorted((copy / "source/images").iterdir())[:6],
        *sorted(copy.glob("target/leftImg8bit/val/*/*"))[:2],
    ]
    for image in bad:
        image.write_bytes(b"no picture")
    found = []
    for ranks in (1, 2):  # one of these images is met by rank 1 alone
        config = skipping(small_config(copy, "source_only", steps=3, ranks=ranks, workers=1))
        trial = write_trial(tmp_path / f"{ranks}", config)
        assert endings(start_training(trial, ranks)) == [0] * ranks
        found.append(read_json(trial.metrics))
    alone, together = found
    assert together["training_skipped"] == alone["training_skipped"] != []
    assert together["validation_skipped"] == list(map(str, bad[6:]))


@pytest.mark.processes
def test_two_ranks_find_a_class_without_truth_together(root, tmp_path):
    copy = tmp_path / "domains"
    shutil.copytree(root, copy)
    for label in list(copy.glob("target/gtFine/val/*/*"))[1:]:
        label.unlink()
    config = skipping(small_config(copy, "source_only", ranks=2, evaluation=SIZES))
    trial = write_trial(tmp_path / "trial", config)
    assert endings(start_training(trial, 2)) == [1, 1]
    errors = [read_json(trial.attempt(1).error(rank)) for rank in (0, 1)]
    assert [error["cause"] for error in errors] == ["data", "data"]
    assert all("of which the validation images hold no pixel" in error["message"] for error in errors)


@pytest.mark.processes
def test_a_worker_saves_and_leaves_when_its_parent_is_killed(root, tmp_path):
    trial = write_trial(tmp_path / "trial", small_config(root, steps=100_000))
    parent = textwrap.dedent(f"""
        import subprocess, sys
        command = [sys.executable, "-m", "segda_core.train", {str(trial.root)!r}, "--attempt", "1"]
        worker = subprocess.Popen(command, start_new_session=True)
        print(worker.pid, flush=True)
        worker.wait()
    """)
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    wait_for(trial.attempt(1).history)
    process.kill()
    process.wait()
    process.stdout.close()

    wait_for(trial.attempt(1).saved)
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.processes
def test_failures_are_written_down_with_their_cause(root, tmp_path):
    wrong_ranks = write_trial(tmp_path / "ranks", small_config(root, ranks=2))
    broken_data = write_trial(tmp_path / "data", small_config(tmp_path / "nowhere"))
    broken_config = write_trial(tmp_path / "config", small_config(root))
    broken_config.config.write_text("steps: [")
    trials = {"ranks": wrong_ranks, "data": broken_data, "config": broken_config}

    processes = {name: start(trial, 1) for name, trial in trials.items()}

    assert all(process.wait(PATIENCE) == 1 for process in processes.values())
    errors = {name: read_json(trial.attempt(1).error(0)) for name, trial in trials.items()}
    assert errors["ranks"]["cause"] == "config"
    assert errors["ranks"]["message"] == "ranks: the trial asks for 2, but 1 process(es) were started"
    assert errors["data"]["cause"] == "data"
    assert str(tmp_path / "nowhere") in errors["data"]["message"]
    assert errors["config"]["cause"] == "config"
    assert "config.yaml" in errors["config"]["message"]
