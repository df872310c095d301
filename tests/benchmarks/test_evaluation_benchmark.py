"""The benchmark of evaluation: both paths count the same, on every field and protocol."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]


def test_a_small_image(tmp_path: Path) -> None:
    program = [sys.executable, ROOT / "benchmarks" / "evaluation.py", "--results", tmp_path]
    options = ["--size", "256", "128", "--repeat", "1"]
    table = subprocess.run([*program, *options], capture_output=True, text=True, check=True).stdout
    kinds = [line.split()[:2] for line in table.splitlines()[2:]]
    assert kinds == [[field, passes] for field in ("calm", "busy", "noise") for passes in ("single", "p_mr")]
    rows = json.loads((tmp_path / "evaluation.json").read_text())["rows"]
    assert rows[0]["mixed"] < rows[2]["mixed"] < rows[4]["mixed"]
    assert all(row["upsampling"] > row["floor"] > 0 for row in rows)
