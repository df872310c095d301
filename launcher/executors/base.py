"""What every executor offers the launch loop, and the one way they all start a runner."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from launcher.processes.command import FIRST_NODE, Node, runner_command
from launcher.processes.process import ATTEMPT_VARIABLE, NODE_VARIABLE, PARENT_VARIABLE
from segda_core.config import TaskConfig
from segda_core.trials.layout import GPUS_VARIABLE, AttemptFiles


@dataclass(frozen=True)
class Resources:
    """What an executor gives one attempt."""

    gpus: tuple[str, ...] = ()
    """Ids for CUDA_VISIBLE_DEVICES; none: those of a scheduler, or CPU cores."""
    num_gpus: int = 0
    """On each machine, whoever chose them; workers that see none fail."""
    stall_min: float = 30.0
    """Minutes without a step after which the runner ends the attempt."""
    nodes: int = 1
    """Machines that the attempt's ranks are spread over, with one runner on each."""
    job_id: str | None = None
    """What a scheduler calls the attempt's job."""
    restart_count: int = 0
    """How often the scheduler had started that job before."""

    @classmethod
    def from_json(cls, text: str) -> "Resources":
        """From the runner's `--resources`."""
        raw = json.loads(text)
        return cls(**{**raw, "gpus": tuple(raw["gpus"])})


@dataclass(frozen=True)
class EarlyStopping:
    """Stop poor trials of a search by the mIoU of their evaluations (successive halving)."""

    grace_steps: int
    reduction_factor: int
    steps: int
    """Of every trial."""
    earlier: tuple[Path, ...]
    """Trials whose histories count from the start."""


def silently(line: str) -> None:
    """Tell the user nothing."""


@dataclass(frozen=True)
class Surroundings:
    """What an executor is told about the launch it works for."""

    sweep: Path
    """`runs/SWEEP`: backends keep files of their own below it, in folders that begin with a dot."""
    code: Path | None = None
    """Snapshot of the code that jobs run; None: the code of this process."""
    waits: bool = True
    """Whether the launcher stays until its jobs have ended."""
    early_stopping: EarlyStopping | None = None
    say: Callable[[str], None] = silently
    """Tells the user something about the backend."""


class Job(Protocol):
    """A submitted attempt."""

    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""

    def terminate(self) -> None:
        """Ask it to save and leave; returns at once."""

    def kill(self) -> None:
        """End it now, unsaved."""


class Room(Protocol):
    """Room for one attempt, taken before the attempt is claimed."""

    def start(self, attempt: AttemptFiles) -> Job:
        """Start the attempt's runner in it, or line it up until `flush`; its end gives the room back."""

    def release(self) -> None:
        """Give it back unused."""


class Executor(Protocol):
    """Where attempts run."""

    name: str
    outlives_launcher: bool
    """Whether jobs go on without the launcher, which then need not wait for them and stops none on Ctrl-C."""

    def problem(self, config: TaskConfig) -> str | None:
        """Why a trial can never run here; None where it can."""

    def at_once(self, config: TaskConfig) -> int:
        """How many trials like this one it runs side by side, where nobody else uses it."""

    def reserve(self, config: TaskConfig, after: Sequence[str] = ()) -> Room | None:
        """Room for one more attempt, to start when the jobs `after` have ended; None while there is none.

        Only executors whose jobs outlive the launcher are asked for the latter.
        """

    def flush(self) -> None:
        """Submit what was lined up since the last call: a backend may take many attempts at once."""

    def preview(self, configs: Sequence[TaskConfig]) -> list[str]:
        """What would be submitted for some trials, for `--dry-run`; nothing where that is not a script."""

    def close(self) -> None:
        """Let go of everything outside this process; jobs that outlive the launcher go on."""


def start_runner(
    attempt: AttemptFiles,
    resources: Resources,
    code: Path | None = None,
    keep_open: tuple[int, ...] = (),
    node: Node = FIRST_NODE,
) -> "subprocess.Popen[bytes]":
    """Start the attempt's runner, in a session of its own: a terminal's Ctrl-C reaches the launcher alone.

    It ends when this process does, prints to the attempt's log, runs the code of a snapshot where one is
    given, and inherits the open files `keep_open`.
    """
    environment = {
        **os.environ,
        **({} if code is None else code_environment(code)),
        ATTEMPT_VARIABLE: str(attempt.root.resolve()),
        NODE_VARIABLE: str(node.rank),
        PARENT_VARIABLE: str(os.getpid()),
        GPUS_VARIABLE: str(resources.num_gpus),
    }
    with attempt.node_log(node.rank).open("ab") as log:
        return subprocess.Popen(
            runner_command(attempt.trial.root, attempt.number, asdict(resources), node),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=keep_open,
        )


def code_environment(code: Path) -> dict[str, str]:
    """Environment variables with which Python imports both packages from a snapshot.

    Without PYTHONSAFEPATH `python -m` would look into the working directory first.
    """
    paths = [str(code.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
