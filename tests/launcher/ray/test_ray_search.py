"""Searches on a real Ray cluster: the same trials as elsewhere, early stops, and a driver that may die."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_sweep import SmallSweep, kill, wait_until

from launcher.plan import read_plan
from segda_core.layout import read_json

pytestmark = pytest.mark.processes

StandIn = Callable[[Path], None]
BASE = {"method": {"name": "source_only"}, "optimizer": {"name": "sgd"}, "evaluation": {"every": 5}}
SPACE = {"optimizer.lr": {"loguniform": [1e-4, 1e-1]}}


def a_search(folder: Path, steps: int, executor: str = "ray", **search: object) -> SmallSweep:
    """Trials evaluate every five steps."""
    return SmallSweep(folder, BASE, steps, search={"space": SPACE, **search}, name=executor)


def planned(sweep: SmallSweep) -> list[str]:
    return read_plan(sweep.folder / "runs", "quick")["small"]


def test_random_trials_are_the_same_everywhere(tmp_path: Path, stand_in: StandIn) -> None:
    here, there = (a_search(tmp_path / name, 10, name, trials=2) for name in ("local", "ray"))
    stand_in(there.folder / "locks")
    for sweep in (here, there):
        code, output = sweep.run("sweep", "quick", timeout=240)
        assert code == 0, output
    assert there.results() == here.results() and len(here.results()) == 2
    assert there.histories() == here.histories()


def test_tpe_goes_on_after_its_driver_was_killed(tmp_path: Path, stand_in: StandIn) -> None:
    sweep = a_search(tmp_path, 20, algorithm="tpe", trials=4)
    stand_in(tmp_path / "locks")
    launcher = sweep.start("sweep", "quick", "--max-parallel", "2")
    wait_until(lambda: list(tmp_path.glob("runs/quick/*/metrics.json")))
    assert kill(launcher.pid)
    launcher.communicate()
    before = planned(sweep)
    code, output = sweep.run("sweep", "quick", timeout=300)
    assert code == 0, output
    assert planned(sweep)[: len(before)] == before
    assert sorted(planned(sweep)) == [files.root.name for files in sweep.trials()]
    assert len(sweep.results()) == 4
    for files in sweep.trials():
        assert read_json(files.metrics)["attempt"] == files.attempt_numbers()[-1], (
            "ran again after it was done"
        )
    code, output = sweep.run("sweep", "runs/quick/best.yaml", "--dry-run")
    assert code == 0 and "3 trials: 3 to run" in output


def test_asha_stops_poor_trials_for_good(tmp_path: Path, stand_in: StandIn) -> None:
    """One at a time, so that it is certain who comes first: of the later ones half do not pass the rung."""
    asha = {"name": "asha", "grace_steps": 20, "reduction_factor": 2}
    sweep = a_search(tmp_path, 400, trials=4, scheduler=asha)
    stand_in(tmp_path / "locks")
    code, output = sweep.run("sweep", "quick", "--max-parallel", "1", timeout=400)
    assert code == 0, output
    stopped = [attempt for attempt in sweep.attempts() if attempt.stopped.exists()]
    assert stopped, output
    for attempt in stopped:
        assert read_json(attempt.outcome)["status"] == "stopped"
        assert read_json(attempt.stopped)["by"] == "asha"
        assert read_json(attempt.stopped)["step"] < 400
        assert not (attempt.root.parent.parent / "metrics.json").exists()
    assert len(sweep.results()) + len(stopped) == 4
    board = (tmp_path / "runs/quick/leaderboard.md").read_text()
    assert board.count("1/1") == len(sweep.results()), "a stopped trial has no rank"
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and "0 to run" in output


def test_asha_needs_ray(tmp_path: Path) -> None:
    asha = {"name": "asha", "grace_steps": 5}
    sweep = a_search(tmp_path, 10, "local", trials=2, scheduler=asha)
    code, output = sweep.run("sweep", "quick")
    assert code == 2 and "asha compares trials while they run, which executor ray does" in output
