"""The benchmark of training steps: it runs a plain method and one with a double backward, and counts work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PROGRAM = [sys.executable, Path(__file__).parents[2] / "benchmarks" / "train_step.py"]


def test_two_methods_at_a_small_size(tmp_path: Path) -> None:
    options = ["--methods", "source_only", "mrnet", "--size", "64", "32", "--steps", "1", "--repeat", "1"]
    options += ["--compare", "2"]
    table = subprocess.run(
        [*PROGRAM, "--results", tmp_path, *options], capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[0] for line in table.splitlines()[2:4]] == ["source_only", "mrnet"]
    plain, adversarial = json.loads((tmp_path / "train_step.json").read_text())["rows"][:2]
    assert 0 < plain["operations"] < adversarial["operations"]
    assert (plain["images"], adversarial["images"]) == (4, 8)
    assert plain["seconds"] > plain["floor_seconds"] > 0
    assert plain["far"] == 0  # two runs of it on a CPU


def test_a_step_is_captured_nowhere_but_on_a_gpu(tmp_path: Path) -> None:
    options = ["--results", tmp_path, "--ways", "bf16+capture"]
    refused = subprocess.run([*PROGRAM, *options], capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "no GPU" in refused.stderr
