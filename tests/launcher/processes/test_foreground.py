"""Ctrl-C while a command of the core runs: a terminal sends it to every process of the group."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_sweep import PATIENCE_S, wait_until

from segda_core.checkout import CHECKOUT

pytestmark = pytest.mark.processes

CLEANED = """
import pathlib, sys, time
from segda_core.process import end_on_signals
end_on_signals()
try:
    pathlib.Path("begun").touch()
    time.sleep(60)
finally:
    pathlib.Path("ending").touch()
    time.sleep(float(sys.argv[1]))
    pathlib.Path("cleaned").touch()
"""
"""A command that takes some seconds to clean up."""


class Terminal:
    """A command in a process group of its own."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, text=True, start_new_session=True,
            env={**os.environ, "SEGDA_DATA": str(folder / "data"), "PYTHONPATH": f"{CHECKOUT}:{folder}"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def interrupt(self) -> None:
        os.killpg(self._process.pid, signal.SIGINT)

    def interrupt_launcher_alone(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait_for(self, pattern: str) -> None:
        wait_until(lambda: list(self.folder.glob(pattern)) or self._process.poll() is not None)
        assert self._process.poll() is None, self._process.communicate()

    def wait_for_library(self, name: str) -> None:
        """Until a child of the command has begun to load it."""
        wait_until(lambda: self._process.poll() is not None or any(name in maps for maps in self._maps()))
        assert self._process.poll() is None, self._process.communicate()

    def _maps(self) -> list[str]:
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [Path(f"/proc/{child}/maps").read_text() for child in children]

    def finish(self) -> tuple[int, str]:
        output, _ = self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode, output


def clean_up_in(seconds: float, folder: Path) -> Terminal:
    """Such a command as a child of ours."""
    (folder / "cleaned_up.py").write_text(CLEANED)
    code = f"from launcher.processes.foreground import run_core; run_core('cleaned_up', '{seconds}')"
    terminal = Terminal(folder, "-c", code)
    terminal.wait_for("begun")
    return terminal


def segda(folder: Path, *words: str) -> Terminal:
    return Terminal(folder, "-m", "launcher.cli", *words)


@pytest.mark.parametrize("whom", [Terminal.interrupt, Terminal.interrupt_launcher_alone])
def test_a_command_ends_in_order(tmp_path: Path, whom) -> None:
    terminal = clean_up_in(1, tmp_path)
    whom(terminal)
    _, output = terminal.finish()
    assert (tmp_path / "cleaned").exists()
    assert output.startswith("interrupted: the same command begins again\n"), output


def test_a_second_ctrl_c_kills_it(tmp_path: Path) -> None:
    terminal = clean_up_in(20, tmp_path)
    terminal.interrupt()
    terminal.wait_for("ending")
    time.sleep(1)  # two at once count as one
    terminal.interrupt()
    terminal.finish()
    assert not (tmp_path / "cleaned").exists()


def test_one_that_loads_torch_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").write_bytes(b"")
    terminal = segda(tmp_path, "predict", "empty.pt", "none.png", "--out", "out")
    terminal.wait_for_library("libtorch")
    terminal.interrupt()
    assert terminal.finish() == (130, "interrupted: the same command begins again\n")


def test_while_streets_is_drawn_nothing_is_left_and_it_begins_again(tmp_path: Path) -> None:
    """By a sweep that needs it, and by its own command."""
    for words in (["sweep", str(CHECKOUT / "sweeps" / "target_size.yaml")], ["data", "make", "streets"]):
        terminal = segda(tmp_path, *words)
        terminal.wait_for("data/.streets*/render/images/*.png")
        terminal.interrupt()
        code, output = terminal.finish()
        assert code == 130
        assert "Traceback" not in output and "resource_tracker" not in output
        assert output.endswith("\ninterrupted: the same command begins again\n")
        assert list((tmp_path / "data").iterdir()) == []
