"""The benchmark of large sweeps: its hand-made directories read as what they stand for."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from slurm_cluster import needs_slurm

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]


def test_a_hundred_trials(tmp_path: Path) -> None:
    program = [sys.executable, ROOT / "benchmarks" / "launcher_scale.py"]
    options = ["--trials", "100", "--repeat", "1", "--keep", tmp_path, "--results", tmp_path]
    needs_slurm()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
    table = subprocess.run(
        [*program, *options], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [
        ["status", "100"],
        ["dry-run", "100"],
        ["leaderboard", "100"],
        ["submit", "10"],
    ]
    queued = list((tmp_path / "100/runs/large").glob("*/attempts/1/submission.json"))
    assert sum(json.loads(path.read_text())["executor"] == "slurm" for path in queued) == 10
    status = [sys.executable, "-m", "launcher.cli", "status", "large", "--json"]
    told = subprocess.run(status, cwd=tmp_path / "100", capture_output=True, text=True, check=True).stdout
    trials = json.loads(told)["large"]
    states = Counter(trial["state"] for trial in trials)
    assert (states["done"], states["failed"], len(trials)) == (80, 10, 100)
    assert not any(trial["older_code"] for trial in trials)
