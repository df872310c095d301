"""Whole sweeps on a real Ray cluster: the results of the local executor, whatever is killed meanwhile."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.victim import process_of
from small_sweep import SmallSweep, kill, wait_until

from launcher.executors.ray_head import FOLDERS

pytestmark = pytest.mark.processes

STEPS = 60
METHODS = {"method": [{"name": "source_only"}, {"name": "joint"}]}
StandIn = Callable[[Path], None]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> SmallSweep:
    sweep = SmallSweep(tmp_path_factory.mktemp("local"), METHODS, STEPS)
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    return sweep


def on_ray(folder: Path, steps: int, **settings: object) -> SmallSweep:
    return SmallSweep(folder, METHODS, steps, name="ray", **settings)


def our_heads() -> set[Path]:
    return set(FOLDERS.glob(f"segda-ray-{os.getuid()}-*"))


def test_a_grid_gives_the_local_results(local: SmallSweep, tmp_path: Path, stand_in: StandIn) -> None:
    folder = tmp_path / 'it\'s "a" $HOME path; with spaces'
    folder.mkdir()
    sweep = on_ray(folder, STEPS)
    stand_in(folder / "locks")
    code, output = sweep.run("sweep", "quick", timeout=240)
    assert code == 0, output
    assert sweep.outcomes() == ["done", "done"]
    assert sweep.results() == local.results()
    assert sweep.histories() == local.histories()
    assert list(folder.glob("runs/quick/.ray/*")) == []
    code, output = sweep.run("sweep", "quick", "--executor", "local")
    assert code == 0 and "0 to run" in output


def test_ctrl_c_saves_and_leaves_nothing_behind(tmp_path: Path, stand_in: StandIn) -> None:
    sweep = on_ray(tmp_path, steps=100_000)
    stand_in(tmp_path / "locks")
    launcher = sweep.start("sweep", "quick")
    wait_until(lambda: len(list(tmp_path.glob("runs/quick/*/attempts/1/checkpoints/*.pt"))) >= 2)
    launcher.send_signal(signal.SIGINT)
    code, output = sweep.finish(launcher)
    assert code == 130, output
    assert "the same command continues" in output
    assert sweep.processes() == []
    assert sweep.outcomes() == ["saved", "saved"]


@pytest.mark.parametrize("victim", ["launcher", "driver"])
def test_a_killed_driver_loses_nothing(
    local: SmallSweep, tmp_path: Path, stand_in: StandIn, victim: str
) -> None:
    """The launcher's death ends the trials, and the same command goes on; the driver's own it survives."""
    sweep = on_ray(tmp_path, STEPS)
    stand_in(tmp_path / "locks")
    launcher = sweep.start("sweep", "quick")
    wait_until(lambda: list(tmp_path.glob("runs/quick/*/attempts/1/checkpoints/*.pt")))
    pid = launcher.pid if victim == "launcher" else process_of(launcher.pid, "ray_driver")
    assert pid is not None and kill(pid)
    if victim == "launcher":
        launcher.communicate()
        killed = time.monotonic()
        wait_until(lambda: not sweep.processes())
        assert time.monotonic() - killed < 15
        launcher = sweep.start("sweep", "quick")
    code, output = sweep.finish(launcher, timeout=240)
    assert code == 0, output
    assert sweep.results() == local.results()
    assert sweep.histories() == local.histories()


def test_a_head_of_its_own_may_die_and_leaves_nothing(local: SmallSweep, tmp_path: Path) -> None:
    before = our_heads()
    sweep = on_ray(tmp_path, STEPS)
    launcher = sweep.start("sweep", "quick")
    wait_until(lambda: list(tmp_path.glob("runs/quick/*/attempts/1/checkpoints/*.pt")))
    (head,) = our_heads() - before
    raylet = process_of(launcher.pid, "/raylet/raylet")
    assert raylet is not None and kill(raylet)
    code, output = sweep.finish(launcher, timeout=240)
    assert code == 0, output
    assert sweep.results() == local.results()
    assert our_heads() == before and not head.exists()
