"""A working directory with a few small images, a profile and a sweep, and `segda` started in it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml
from domains import write_cityscapes, write_gta5

from launcher.launching.snapshot import take_snapshot
from launcher.processes.process import ATTEMPT_VARIABLE
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.trial_history import trial_history

PATIENCE_S = 400
"""Seconds that a command may take on a slow and busy machine; more is a hang."""

PROFILE = {
    "name": "small",
    "domains": {
        "render": {"layout": "gta5", "root": "data/render"},
        "camera": {"layout": "cityscapes", "root": "data/camera"},
    },
    "trial": {
        "source": [{"name": "render"}],
        "target": {"name": "camera"},
        "model": {"name": "tiny", "width": 8},
        "evaluation": {"size": [64, 32]},
    },
}


class SmallSweep:
    """Sweep `quick` in a folder of its own; ids are the same in every such folder.

    On a cluster it runs without canaries, unless `canary` is set.
    """

    canary = False
    launched_from: Path | None = None
    """Where the copy of the code is that launches make, for all sweeps: to compile it takes half a second."""

    def __init__(
        self, folder: Path, grid: dict, steps: int, stages: dict | None = None, search: dict | None = None,
        **settings: object,
    ) -> None:  # fmt: skip
        """`settings` are the executor's; of a search `grid` is part of the base.

        Of a cluster, whose GPUs may be fake, it asks for none unless it is said to.
        """
        settings = {"gpus_per_node": 0, **settings} if settings.get("name") == "slurm" else settings
        self.folder = folder
        write_gta5(folder / "data" / "render", 6)
        write_cityscapes(folder / "data" / "camera", 6, 3)
        base = {"steps": steps, "log_every": 1, "checkpoint": {"every": 5}}
        axes = {"grid": grid} if stages is None else {"stages": stages}
        sweep = {"name": "quick", "data": "small", "base": base, **axes, "executor": settings}
        if search is not None:
            sweep = {**sweep, "base": {**base, **grid}, "grid": {}, "search": search}
        self._write("sweeps/data/small.yaml", PROFILE)
        self._write("sweeps/quick.yaml", sweep)

    @property
    def environment(self) -> dict[str, str]:
        """Locks of its own, so that a sweep running on this machine does not hold the test up."""
        return {**os.environ, "SEGDA_RUNTIME_DIR": str(self.folder / "locks"), "COLUMNS": "200"}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """`segda WORDS` in the background, stopped by Ctrl-C like one on a terminal."""
        last = ["--no-canary"] if words[0] == "sweep" and not self.canary else []
        if words[0] == "sweep" and self.launched_from is not None:
            self._copy_code(self.launched_from)
        command = [sys.executable, "-m", "launcher.cli", *words, *last]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *words: str, timeout: float = PATIENCE_S) -> tuple[int, str]:
        """Exit code and output of `segda WORDS`."""
        return self.finish(self.start(*words), timeout)

    def finish(self, process: "subprocess.Popen[str]", timeout: float = PATIENCE_S) -> tuple[int, str]:
        """Exit code and output of a started one; one that takes too long is killed, and its output shown."""
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            raise AssertionError(f"{process.args} took over {timeout} s and printed:\n{output}") from None
        finally:
            process.kill()
        return process.returncode, output

    def trials(self) -> list[TrialFiles]:
        """Every trial that has a directory, by id."""
        return [TrialFiles(path.parent) for path in sorted(self.folder.glob("runs/quick/*/trial.json"))]

    def trial(self, seed: int) -> TrialFiles:
        """The trial with that seed, of a sweep that has one."""
        (path,) = self.folder.glob(f"runs/quick/*-s{seed}-*")
        return TrialFiles(path)

    def attempts(self) -> list[AttemptFiles]:
        """Every attempt of every trial."""
        return [files.attempt(number) for files in self.trials() for number in files.attempt_numbers()]

    def outcomes(self) -> list[str]:
        """Status (and cause) of every attempt, `none` without outcome."""
        found = (
            read_json(attempt.outcome) or {"status": "none", "cause": None} for attempt in self.attempts()
        )
        return [f"{outcome['status']} {outcome['cause'] or ''}".strip() for outcome in found]

    def results(self) -> dict[str, object]:
        """Finished trial -> what must not depend on interruptions."""
        return {files.root.name: result_of(files) for files in self.trials() if files.metrics.exists()}

    def histories(self) -> dict[str, object]:
        """Trial id -> its losses and scores."""
        return {files.root.name: history_of(files) for files in self.trials()}

    def processes(self, role: str = "") -> list[int]:
        """Pids started for any attempt here: `runner`, `torchrun`, `worker`, or all."""
        mark = f"{ATTEMPT_VARIABLE}={self.folder.resolve()}/".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                ours = mark in (process / "environ").read_bytes()
                command = (process / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if ours and (not role or role_of(command) == role):
                found.append(int(process.name))
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, the one attempt that has begun starts no worker, and goes on only once its runner has
        noticed what was done to it: however busy the machine, its trial does not end before.
        """
        wait_until(lambda: self.processes("torchrun"))
        ((attempt, torchrun),) = zip(self.attempts(), self.processes("torchrun"), strict=True)
        os.kill(torchrun, signal.SIGSTOP)
        try:
            yield
            wait_until(lambda: "workers save" in attempt.log.read_text() or not self.processes("runner"))
        finally:
            with suppress(ProcessLookupError):
                os.kill(torchrun, signal.SIGCONT)

    def _copy_code(self, runs: Path) -> None:
        """As an earlier launch of the same code has left it; of other code, the next one makes its own."""
        snapshot = take_snapshot(runs)
        copy = self.folder / "runs" / ".code" / snapshot.name
        if not copy.exists():
            shutil.copytree(snapshot, copy)

    def _write(self, name: str, content: dict) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))


def result_of(files: TrialFiles) -> object:
    """Scores and the weights' checksum of a trial that is done."""
    value = json.loads(files.metrics.read_text())
    return value["miou"], value["iou"], value["outputs"]["segmenter"]["sha256"]


def history_of(files: TrialFiles) -> object:
    """A trial's losses and scores by step and kind, whichever attempt wrote them."""
    rows = trial_history(files)
    return {(row["step"], "miou" in row): row.get("losses", row.get("miou")) for row in rows}


def role_of(command: list[bytes]) -> str:
    """What a process does, by its command line."""
    if b"launcher.attempt" in command:
        return "runner"
    return "torchrun" if b"segda_core.torchrun" in command else "worker"


def wait_until(condition: Callable[[], object], timeout: float = PATIENCE_S) -> None:
    """Poll until the condition holds; less often what takes long to ask, since others need the cores."""
    deadline = time.monotonic() + timeout
    asked = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now < deadline, "waited in vain"
        time.sleep(min(max(0.05, 20 * (now - asked)), 0.5))
        asked = time.monotonic()


def kill(pid: int) -> bool:
    """kill -9; False where it was gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
