"""The Ray head that stays: on loopback alone, behind its token, used by sweeps, and ended without a trace."""

import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import ENTER, chromium
from faults.victim import process_of
from small_sweep import SmallSweep, wait_until

from launcher.executors.ray_dashboard import start_dashboard
from launcher.executors.ray_head import STANDING, Head, standing_head
from launcher.processes.process import descendants

pytestmark = pytest.mark.processes

LISTENING = "0A"
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
"""127.0.0.1 and ::1 as the kernel writes them."""

GRID = {"method": [{"name": "source_only"}, {"name": "joint"}]}


def listening_addresses(pids: list[int]) -> set[str]:
    """Where some processes accept connections."""
    sockets: set[str] = set()
    for pid in pids:
        try:
            sockets |= {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        except (FileNotFoundError, PermissionError):
            continue  # gone meanwhile
    tables = (Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table]
    return {
        row[1].partition(":")[0] for row in rows if row[3] == LISTENING and f"socket:[{row[9]}]" in sockets
    }


def answers(head: Head, token: str) -> int:
    request = urllib.request.Request(f"{head.dashboard}/api/cluster_status")
    request.add_header("Authorization", f"Bearer {token}")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallSweep]:
    """One that runs long, with a runtime folder of its own; a head that a failed test left there is ended."""
    sweep = SmallSweep(tmp_path, GRID, steps=100_000, name="ray", max_parallel=2)
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", sweep.environment["SEGDA_RUNTIME_DIR"])
    yield sweep
    sweep.run("dashboard", "--stop")


def test_it_is_ours_alone_shows_the_trials_and_goes(tmp_path: Path, sweep: SmallSweep) -> None:
    code, output = sweep.run("dashboard")
    assert code == 0, output
    head = standing_head()
    assert head is not None and head.dashboard in output and f"cat {head.token}" in output
    assert head.token.stat().st_mode & 0o777 == 0o600
    assert sweep.run("dashboard") == (0, output), "a second one is not started"
    assert answers(head, head.token.read_text()) == 200
    assert answers(head, "0" * 64) in (401, 403)
    launcher = sweep.start("sweep", "quick")
    try:
        wait_until(lambda: len(list(tmp_path.glob("runs/quick/*/attempts/1/heartbeat.json"))) == 2)
        runners = set(sweep.processes())  # torchrun's own store listens everywhere, under any executor
        addresses = listening_addresses(
            [pid for pid in descendants(head.keeper["pid"]) if pid not in runners]
        )
        assert addresses and addresses <= set(LOOPBACK)
        see_trials(head, [files.root.name for files in sweep.trials()], tmp_path)
    finally:
        launcher.send_signal(signal.SIGINT)
        code, output = sweep.finish(launcher)
    assert code == 130 and f"Ray dashboard: {head.dashboard}" in output
    assert sweep.outcomes() == ["saved", "saved"] and sweep.processes() == []
    code, output = sweep.run("dashboard", "--stop")
    assert code == 0 and head.dashboard in output
    assert descendants(head.keeper["pid"]) == [] and not Path(head.folder).exists()
    assert standing_head() is None


def test_one_that_could_not_be_found_again_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", str(tmp_path))

    def get_in_the_way() -> None:
        wait_until(lambda: process_of(os.getpid(), "launcher.executors.ray_head"))
        (tmp_path / STANDING).mkdir()

    thread = threading.Thread(target=get_in_the_way)
    thread.start()
    with pytest.raises(IsADirectoryError):
        start_dashboard()
    thread.join()
    assert process_of(os.getpid(), "launcher.executors.ray_head") is None


def see_trials(head: Head, names: list[str], folder: Path) -> None:
    """Log in as a user does; the sweep is one of Ray's jobs, its trials are actors. Takes a picture."""
    with chromium(folder / "profile") as browser:
        browser.open(head.dashboard)
        browser.wait_for("Authentication Token Required")
        browser.type("input[type=password]", head.token.read_text() + ENTER)
        wait_until(lambda: "Authentication Token Required" not in browser.text())
        browser.open(f"{head.dashboard}/#/jobs")
        browser.wait_for("ray_driver quick")
        browser.open(f"{head.dashboard}/#/actors")
        for name in names:
            browser.wait_for(name)
        (folder / "ray-dashboard.png").write_bytes(browser.screenshot())
