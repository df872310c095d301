"""The benchmark of start-up: it reads a finished sweep, whose parts make up each trial's time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_sweep import SmallSweep

pytestmark = pytest.mark.processes

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "start_up.py"


def test_a_finished_sweep(tmp_path: Path) -> None:
    sweep = SmallSweep(tmp_path / "work", {"method": [{"name": "source_only"}]}, steps=10)
    code, output = sweep.run("sweep", "quick", "--max-parallel", "2")
    assert code == 0, output
    options = ["--sweep", "quick", "--runs", sweep.folder / "runs", "--results", tmp_path]
    table = subprocess.run([sys.executable, PROGRAM, *options], capture_output=True, text=True, check=True)
    assert "whole: 1 trials, 1 at once" in table.stdout
    for trial in json.loads((tmp_path / "start_up.json").read_text())["trials"]:
        assert trial["before"] > 0.5  # two imports of torch
        assert 0 < trial["steps"] < trial["ended"] - trial["launched"] - trial["before"]


def test_a_sweep_without_trials_says_so(tmp_path: Path) -> None:
    options = ["--sweep", "quick", "--runs", tmp_path, "--results", tmp_path]
    told = subprocess.run([sys.executable, PROGRAM, *options], capture_output=True, text=True)
    assert told.returncode == 1
    assert "no trial that trained" in told.stderr
