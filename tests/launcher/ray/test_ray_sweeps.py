"""Whole sweeps on a real Ray cluster: the results of trials left alone, whatever is killed meanwhile."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.victim import process_of
from left_alone import assert_as_left_alone
from small_sweep import SmallSweep, kill, wait_until

from launcher.commands.sweep import INTERRUPTED
from launcher.executors.ray_head import Head
from launcher.launching.canary import STEPS as CANARY_STEPS
from launcher.processes.process import still_runs
from launcher.trials.find import canaries_of
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles

pytestmark = pytest.mark.processes

STEPS = 60
HEAD = "launcher.executors.ray_head"
STAGES = {
    "pretrain": {"task": "train", "base": {"method": {"name": "joint"}}},
    "adapt": {
        "task": "train",
        "from": {"init_from": "pretrain"},
        "base": {"method": {"name": "source_only"}},
    },
}
PARENT = ("--only", "stage=pretrain")
"""One trial, where it does not matter that there is another."""
StandIn = Callable[[Path], None]


def on_ray(folder: Path, steps: int, **settings: object) -> SmallSweep:
    return SmallSweep(folder, {}, steps, STAGES, name="ray", **settings)


def head_of(launcher_pid: int) -> Path | None:
    """The folder of the head that a launcher has started."""
    keeper = process_of(launcher_pid, HEAD)
    if keeper is None:
        return None
    command = Path(f"/proc/{keeper}/cmdline").read_text().split("\0")
    return Path(command[command.index(HEAD) + 1])


def test_a_trial_and_its_child_give_what_they_give_alone(
    tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that holds other code, as a checkout does that was edited after the launch."""
    folder = tmp_path / 'it\'s "a" $HOME path; with spaces'
    folder.mkdir()
    sweep = on_ray(folder, STEPS)
    stand_in(folder / "locks")
    for package in ("launcher", "segda_core"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("raise RuntimeError('not the code launched')\n")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    assert sweep.outcomes() == ["done"] * 2
    assert_as_left_alone(sweep)
    assert list(folder.glob("runs/quick/.ray/*")) == []
    code, output = sweep.run("sweep", "quick", "--executor", "local")
    assert code == 0 and "0 to run" in output


def test_a_killed_driver_and_a_killed_launcher_lose_nothing(tmp_path: Path, stand_in: StandIn) -> None:
    """The driver's death the launch survives; its own ends the trial, and the same command goes on."""
    sweep = on_ray(tmp_path, STEPS)
    stand_in(tmp_path / "locks")
    launcher = sweep.start("sweep", "quick", *PARENT)
    with sweep.held():
        driver = process_of(launcher.pid, "ray_driver")
        assert driver is not None and kill(driver)
    wait_until(lambda: list(tmp_path.glob("runs/quick/*/attempts/2/heartbeat.json")))
    assert kill(launcher.pid)
    launcher.communicate()
    wait_until(lambda: not sweep.processes())
    code, output = sweep.run("sweep", "quick", *PARENT)
    assert code == 0, output
    assert_as_left_alone(sweep)


def test_two_launches_share_a_head_and_the_end_of_one_leaves_the_other(
    ray_head: Head, tmp_path: Path, stand_in: StandIn
) -> None:
    """Of one sweep, with room for one trial each: neither takes the other's, which never ends."""
    grid = {"method": [{"name": "source_only"}], "seed": [0, 1]}
    sweep = SmallSweep(tmp_path, grid, 100_000, name="ray", max_parallel=1)
    stand_in(tmp_path / "locks")
    launches = [sweep.start("sweep", "quick") for _ in range(2)]
    wait_until(lambda: [bool(checkpoint_of(files)) for files in sweep.trials()] == [True, True])
    ids = [read_json(attempt.submission)["launch_id"] for attempt in sweep.attempts()]
    assert len(ids) == len(set(ids)) == 2
    launches[0].send_signal(signal.SIGINT)
    assert sweep.finish(launches[0])[0] == INTERRUPTED
    (left,) = [files for files in sweep.trials() if not files.attempt(1).outcome.exists()]
    reached = checkpoint_of(left)
    wait_until(lambda: checkpoint_of(left) > reached, timeout=60)
    launches[1].send_signal(signal.SIGINT)
    assert sweep.finish(launches[1])[0] == INTERRUPTED
    assert sweep.outcomes() == ["saved", "saved"]
    assert still_runs(ray_head.keeper)


def checkpoint_of(files: TrialFiles) -> int:
    """Step of the first attempt's newest checkpoint; 0 before there is one."""
    return max((int(path.stem) for path in files.attempt(1).checkpoints.glob("[0-9]*.pt")), default=0)


def test_on_a_cluster_known_by_its_address_a_canary_goes_first(foreign_ray: str, tmp_path: Path) -> None:
    grid = {"method": [{"name": "source_only"}], "seed": [0, 1]}
    sweep = SmallSweep(tmp_path, grid, 6, name="ray", address=foreign_ray)
    sweep.canary = True
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    (canary,) = canaries_of(tmp_path / "runs" / "quick")
    assert read_json(canary.metrics)["steps"] == CANARY_STEPS
    assert sweep.outcomes() == ["done", "done"]
    for files in sweep.trials():
        assert files.attempt(1).environment.stat().st_mtime > canary.metrics.stat().st_mtime


def test_a_head_of_its_own_may_die_and_leaves_nothing(tmp_path: Path) -> None:
    """And the one after it too, before it is ready."""
    sweep = on_ray(tmp_path, STEPS)
    launcher = sweep.start("sweep", "quick", *PARENT)
    with sweep.held():
        first = head_of(launcher.pid)
        raylet = process_of(launcher.pid, "/raylet/raylet")
        keeper = process_of(launcher.pid, HEAD)
        assert first is not None and first.exists() and raylet is not None and kill(raylet)
    wait_until(lambda: process_of(launcher.pid, HEAD) not in (None, keeper))
    assert kill(process_of(launcher.pid, HEAD))
    wait_until(lambda: list(tmp_path.glob("runs/quick/*/attempts/2")) or launcher.poll() is not None)
    second = head_of(launcher.pid)
    code, output = sweep.finish(launcher)
    assert code == 0, output
    assert "tried once more" in output
    assert_as_left_alone(sweep)
    assert second is not None and not first.exists() and not second.exists()
