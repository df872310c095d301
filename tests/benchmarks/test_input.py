"""The benchmark of input: every way makes samples of the size it says, and the cache is the faster one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]


def test_a_few_small_images(tmp_path: Path) -> None:
    program = [sys.executable, ROOT / "benchmarks" / "input.py", "--results", tmp_path]
    options = ["--images", "2", "--size", "960", "526", "--repeat", "1"]
    table = subprocess.run([*program, *options], capture_output=True, text=True, check=True).stdout
    rows = {row["way"]: row for row in json.loads((tmp_path / "input.json").read_text())["rows"]}
    assert len(table.splitlines()) == 2 + len(rows)
    crop, whole = 640 * 360 * 4, 1280 * 720 * 4
    assert {way: row["bytes"] for way, row in rows.items()} == {
        "public": 4 * whole,
        "uncached crop": crop,
        "filling crop": crop,
        "cached whole": whole,
        "cached crop": crop,
        "cached crop jitter": crop,
    }
    assert rows["cached crop"]["seconds"] < rows["uncached crop"]["seconds"]
    assert all(row["seconds"] > row["floor_seconds"] > 0 for row in rows.values())
