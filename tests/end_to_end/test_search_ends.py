"""How a search ends: where its space holds fewer trials than it asks for, and its best is not written."""

from pathlib import Path

import pytest
from small_sweep import SmallSweep

pytestmark = pytest.mark.processes

SEARCH = {"space": {"seed": {"int": [0, 1]}}, "algorithm": "tpe", "trials": 3}
FEWER = "search: 2 of 3 trials; its space holds no more new ones"


def test_a_space_of_few_values_is_said_and_a_best_that_is_not_written_fails_nothing(tmp_path: Path) -> None:
    sweep = SmallSweep(tmp_path, {"method": {"name": "source_only"}}, 1, search=SEARCH, name="local")
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and FEWER in output, output
    best = tmp_path / "runs/quick/quick_best.yaml"
    assert f"segda sweep {best.relative_to(tmp_path)}" in output
    best.unlink()
    best.mkdir()  # in the way of the file of that name
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and "the best configuration is not written: [Errno 21] Is a directory" in output, output
    assert output.rstrip().endswith("quick: done") and FEWER in output
