"""Asking other programs, with patience that ends: a doctor must not hang with the patient."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PATIENCE_S = 15.0


@dataclass(frozen=True)
class Answer:
    """What a program printed, or why it did not."""

    output: str = ""
    fault: str = ""
    installed: bool = True

    @property
    def lines(self) -> list[str]:
        """Lines of the output that are not blank."""
        return [line.strip() for line in self.output.splitlines() if line.strip()]


def ask(
    command: Sequence[str], patience: float = PATIENCE_S, environment: Mapping[str, str] | None = None
) -> Answer:
    """Run a program to its end; in our environment where none is given."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        return Answer(fault=f"{command[0]} is not installed", installed=False)
    except subprocess.TimeoutExpired:
        return Answer(fault=f"{command[0]}: no answer within {patience:.0f} s")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        return Answer(done.stdout, f"{command[0]}: {said[-1]}")
    return Answer(done.stdout)
