"""The benchmark of ranks: it profiles how gradients are added up beside the backward pass."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ddp import hidden

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "ddp.py"


def test_only_what_lies_beside_work_is_hidden() -> None:
    adding = [(1e6, 3e6), (2e6, 4e6), (8e6, 9e6)]
    working = [(0.0, 2.5e6), (2e6, 3e6), (3.5e6, 5e6)]
    assert hidden(adding, working) == pytest.approx({"reducing": 4, "hidden": 2.5})
    assert hidden(adding, []) == {"reducing": 4, "hidden": 0}


@pytest.mark.processes
def test_two_ranks_add_gradients_up_beside_the_backward_pass(tmp_path: Path) -> None:
    options = ["--model", "lite0", "--size", "64", "32", "--batch", "2", "--steps", "1", "--repeat", "1"]
    table = subprocess.run(
        [sys.executable, PROGRAM, "--results", tmp_path, *options], capture_output=True, text=True, check=True
    ).stdout
    told = json.loads((tmp_path / "ddp.json").read_text())
    assert min(told["direct"], told["ddp"], told["two ranks"]) > 0
    profile = told["profile"]
    assert profile["buckets"] == 2
    assert 0 < profile["hidden"] < profile["reducing"] < told["two ranks"]
    assert "buckets of gradients: 2, " in table
