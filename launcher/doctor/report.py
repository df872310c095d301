"""Running all checks side by side, none for longer than its time, and showing what they found."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from launcher.doctor.data import check_data
from launcher.doctor.disk import check_disk, check_file_system
from launcher.doctor.finding import Finding, Level, Scope
from launcher.doctor.leftovers import check_orphans
from launcher.doctor.machine import check_gpus, check_shared_memory, check_software
from launcher.doctor.ray import check_ray
from launcher.doctor.slurm import check_slurm

Check = Callable[[Scope], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "software": check_software,
    "GPUs": check_gpus,
    "shared memory": check_shared_memory,
    "disk": check_disk,
    "file system": check_file_system,
    "data": check_data,
    "Slurm": check_slurm,
    "Ray": check_ray,
    "orphans": check_orphans,
}
"""Subject -> its check, in the order of the report."""

PATIENCE_S = 120.0
"""Seconds for all checks together: a file server that is gone blocks whoever asks for a file, for ever."""

STYLES = {Level.OK: "green", Level.NOTE: "dim", Level.WARNING: "yellow", Level.PROBLEM: "red"}


class _Examination(threading.Thread):
    """One check in a thread that the end of the process does not wait for."""

    def __init__(self, check: Check, scope: Scope) -> None:
        super().__init__(daemon=True)
        self._check = check
        self._scope = scope
        self._findings: list[Finding] = []

    def run(self) -> None:
        try:
            self._findings = list(self._check(self._scope))
        except Exception as error:  # whatever breaks a check is a finding: the others shall still report
            self._findings = [
                Finding(Level.PROBLEM, f"could not be checked: {type(error).__name__}: {error}")
            ]

    def findings(self, patience: float) -> list[Finding]:
        """What it found, as soon as it is ready."""
        self.join(patience)
        if self.is_alive():
            return [
                Finding(Level.PROBLEM, f"no answer within {PATIENCE_S:.0f} s", "a file server may be gone")
            ]
        return self._findings


def examine(scope: Scope) -> Iterator[tuple[str, Finding]]:
    """Subject and finding, in order, each as soon as those before it are known."""
    deadline = time.monotonic() + PATIENCE_S
    running = {subject: _Examination(check, scope) for subject, check in CHECKS.items()}
    for examination in running.values():
        examination.start()
    for subject, examination in running.items():
        for finding in examination.findings(max(0.0, deadline - time.monotonic())):
            yield subject, finding


def as_json(findings: list[tuple[str, Finding]]) -> list[dict[str, Any]]:
    """Everything, for programs."""
    return [{"subject": subject, **asdict(finding)} for subject, finding in findings]


def render(subject: str, finding: Finding, console: Console) -> None:
    """One finding for a terminal, and what to do about it."""
    line = Text.assemble(
        (f"{finding.level:<8}", STYLES[finding.level]), f"{subject + ':':<15}{finding.message}"
    )
    console.print(line, soft_wrap=True)
    if finding.advice:
        console.print(Text(f"{'':<23}{finding.advice}", "dim"), soft_wrap=True)
