"""Searches on a real Ray cluster: early stops that last, and a driver that may die."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_sweep import SmallSweep, kill, wait_until

from launcher.launching.canary import STEPS as CANARY_STEPS
from launcher.trials.find import canaries_of
from launcher.trials.plan import read_plan
from segda_core.files import read_json

pytestmark = pytest.mark.processes

StandIn = Callable[[Path], None]
BASE = {"method": {"name": "source_only"}, "optimizer": {"name": "sgd"}}


def a_search(
    folder: Path, steps: int, every: int, address: str | None = None, **search: object
) -> SmallSweep:
    """Trials evaluate, and save, every so many steps."""
    base = {**BASE, "evaluation": {"every": every}, "checkpoint": {"every": every}, "log_every": every}
    return SmallSweep(folder, base, steps, search=search, name="ray", address=address)


def planned(sweep: SmallSweep) -> list[str]:
    return read_plan(sweep.folder / "runs", "quick")["small"]


def test_tpe_goes_on_after_its_driver_was_killed(tmp_path: Path, stand_in: StandIn) -> None:
    space = {"optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
    sweep = a_search(tmp_path, 20, every=10, space=space, algorithm="tpe", trials=3)
    stand_in(tmp_path / "locks")
    launcher = sweep.start("sweep", "quick", "--max-parallel", "2")
    wait_until(lambda: list(tmp_path.glob("runs/quick/*/metrics.json")))
    assert kill(launcher.pid)
    launcher.communicate()
    before = planned(sweep)
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    assert planned(sweep)[: len(before)] == before
    assert sorted(planned(sweep)) == [files.root.name for files in sweep.trials()]
    assert len(sweep.results()) == 3
    for files in sweep.trials():
        assert read_json(files.metrics)["attempt"] == files.attempt_numbers()[-1], (
            "ran again after it was done"
        )
    code, output = sweep.run("sweep", "runs/quick/quick_best.yaml", "--dry-run")
    assert code == 0 and "3 trials: 3 to run" in output


def test_asha_stops_a_poor_trial_for_good(tmp_path: Path, stand_in: StandIn) -> None:
    """It is compared with what an earlier launch ran, which its own scheduler never saw."""
    sweep = a_search(
        tmp_path, 600, every=100, trials=2, space={"optimizer.lr": {"choice": [0.05, 1e-9]}},
        scheduler={"name": "asha", "grace_steps": 100, "reduction_factor": 2},
    )  # fmt: skip
    stand_in(tmp_path / "locks")
    code, output = sweep.run("sweep", "quick", "--only", "optimizer.lr=0.05")
    assert code == 0 and len(planned(sweep)) == 2, output
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and output.rstrip().endswith("quick: done, but 1 stopped"), output
    assert len(sweep.results()) == 1
    (stopped,) = [attempt for attempt in sweep.attempts() if attempt.stopped.exists()]
    assert read_json(stopped.outcome)["status"] == "stopped"
    reason = read_json(stopped.stopped)
    assert (reason["by"], reason["step"]) == ("asha", 100)
    board = (tmp_path / "runs/quick/leaderboard.md").read_text()
    assert board.count("1/1") == 1, "a stopped trial has no rank"
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and "0 to run" in output


def test_on_a_cluster_one_canary_goes_before_all_that_tpe_proposes(foreign_ray: str, tmp_path: Path) -> None:
    space = {"optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
    sweep = a_search(tmp_path, 6, 3, foreign_ray, space=space, algorithm="tpe", trials=2)
    sweep.canary = True
    code, output = sweep.run("sweep", "quick", "--dry-run")
    assert code == 0 and "canaries: up to 1 trial of" in output
    code, output = sweep.run("sweep", "quick", "--max-parallel", "2")
    assert code == 0, output
    (canary,) = canaries_of(tmp_path / "runs" / "quick")
    assert read_json(canary.metrics)["steps"] == CANARY_STEPS
    assert sweep.outcomes() == ["done"] * 2
    for attempt in sweep.attempts():
        assert attempt.environment.stat().st_mtime > canary.metrics.stat().st_mtime


def test_a_search_whose_canary_fails_proposes_no_more(foreign_ray: str, tmp_path: Path) -> None:
    space = {"optimizer.lr": {"loguniform": [1e29, 1e30]}}
    sweep = a_search(tmp_path, 6, 3, foreign_ray, space=space, algorithm="tpe", trials=5)
    sweep.canary = True
    code, output = sweep.run("sweep", "quick", "--max-parallel", "2")
    assert code == 1 and "waits for canary-source_only" in output, output
    assert len(planned(sweep)) == 1 and sweep.outcomes() == []
