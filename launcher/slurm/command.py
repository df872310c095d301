"""Slurm's commands, each with a time limit: a controller that does not answer must never hang a caller."""

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

TIMEOUT_S = 15.0

KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")
"""Of Slurm's variables those that say which cluster is meant; all others describe a job we may run in."""

DROPPED = (
    *("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_"),
    *("SQUEUE_", "SACCT_", "SACCTMGR_", "SCANCEL_", "SCONTROL_", "SINFO_"),
)
"""Of what surrounds us; and options that a shell gives commands we read or trust the answer of."""

LEFT_TO_THE_SHELL = frozenset({"account", "constraint", "partition", "qos", "reservation", "wckey"})
"""Options of sbatch that a user's SBATCH_* may choose where the configuration does not."""


class SlurmError(RuntimeError):
    """A command of Slurm failed or did not answer; its message says which and why."""


class NoSlurmError(SlurmError):
    """This machine does not have Slurm's commands."""


def ask(command: Sequence[str], timeout: float = TIMEOUT_S) -> str:
    """What a command prints; `SlurmError` where it fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",  # names of other jobs may be anything
            timeout=timeout,
            env=environment(),
            check=False,
        )
    except FileNotFoundError as error:
        raise NoSlurmError(f"{command[0]}: not installed on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{command[0]}: no answer within {timeout:g} s") from error
    if done.returncode != 0:
        raise SlurmError(f"{command[0]}: {_reason(done.stderr) or f'exit code {done.returncode}'}")
    return done.stdout


def environment() -> dict[str, str]:
    """Our environment without what a surrounding Slurm job left in it."""
    return {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(DROPPED)}


@contextmanager
def only_as_configured(options: Iterable[str]) -> Iterator[None]:
    """Have sbatch see no surrounding job, whose variables it would hand on, and what was configured alone.

    SBATCH_* outrank a script's lines: a job would get another name, time limit or environment than is known.
    """
    before, kept = dict(os.environ), environment()
    chosen = {f"SBATCH_{name.upper()}" for name in LEFT_TO_THE_SHELL.difference(options)}
    for name in before:
        if name not in kept or (name.startswith("SBATCH_") and name not in chosen):
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def _reason(stderr: str) -> str:
    """The errors of a command, on one line and without its name before each."""
    lines = [line.partition(": ")[2] or line for line in stderr.strip().splitlines()]
    return "; ".join(line.removeprefix("error: ").removeprefix("fatal: ") for line in lines[:4])
