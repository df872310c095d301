"""How a search ends: where a trial or its best is not written, and its space holds fewer than it asks for."""

from pathlib import Path

import pytest
from small_sweep import SmallSweep, wait_until

pytestmark = pytest.mark.processes

SEARCH = {"space": {"seed": {"int": [0, 1]}}, "algorithm": "tpe", "trials": 3}
FEWER = "search: 2 of 3 trials; its space holds no more new ones"
NOT_WRITTEN = "search: its next trial cannot be written: [Errno 21] Is a directory"


def test_what_cannot_be_written_ends_no_trial_and_a_space_of_few_values_is_said(tmp_path: Path) -> None:
    sweep = SmallSweep(tmp_path, {"method": {"name": "source_only"}}, 1, search=SEARCH, name="local")
    launcher = sweep.start("sweep", "quick")
    wait_until(lambda: sweep.processes("torchrun"))
    lock = tmp_path / "runs/quick/.plan.lock"
    lock.unlink()
    lock.mkdir()  # in the way of what plans the next trial
    code, output = sweep.finish(launcher)
    assert code == 2 and NOT_WRITTEN in output, output
    assert set(sweep.outcomes()) == {"done"}
    lock.rmdir()
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and FEWER in output, output
    assert sweep.outcomes() == ["done"] * 2
    best = tmp_path / "runs/quick/quick_best.yaml"
    assert f"segda sweep {best.relative_to(tmp_path)}" in output
    best.unlink()
    best.mkdir()  # in the way of the file of that name
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and "the best configuration is not written: [Errno 21] Is a directory" in output, output
    assert output.rstrip().endswith("quick: done") and FEWER in output
