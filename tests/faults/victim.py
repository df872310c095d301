"""A trial that a fault is made to, held still (SIGSTOP) until the fault has reached it: no speed matters."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from small_sweep import role_of, wait_until

from launcher.processes.process import descendants, processes_of, send
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Signals that ask an attempt to save and leave."""


class Victim:
    """The first attempt of a trial, or a later one."""

    def __init__(self, files: TrialFiles, number: int = 1) -> None:
        self.files = files
        self.attempt = files.attempt(number)
        self.held: list[int] = []

    def has_checkpoint(self) -> bool:
        return any(self.attempt.checkpoints.glob("*.pt"))

    def processes(self, role: str = "") -> list[int]:
        """Pids of its `runner`, `torchrun` or `worker`s, or of all."""
        pids = processes_of(self.attempt.root)
        return [pid for pid in pids if not role or role_of(command_of(pid)) == role]

    def hold(self) -> None:
        """Stop its workers; before there are any, its torchrun."""
        self.held = self.processes("worker") or self.processes("torchrun")
        send(self.held, signal.SIGSTOP)

    def go_on(self) -> None:
        send(self.held, signal.SIGCONT)

    def go_on_when_asked(self) -> None:
        """Let it run when it was asked to save, or was killed as it stood."""
        wait_until(lambda: all(is_asked(pid) for pid in self.held))
        self.go_on()

    def attempts(self) -> list[AttemptFiles]:
        return [self.files.attempt(number) for number in self.files.attempt_numbers()]

    def statuses(self) -> list[str | None]:
        """How its attempts ended; None for one that left no word."""
        found = [read_json(attempt.outcome) for attempt in self.attempts()]
        return [outcome and outcome["status"] for outcome in found]


def hold_each(victims: Sequence[Victim], when: Callable[[Victim], bool] = Victim.has_checkpoint) -> None:
    """Hold each as soon as it has come so far."""
    for_each(victims, when, Victim.hold)
    early = [victim.files.root.name for victim in victims if victim.files.metrics.exists()]
    assert not early, f"done before they could be held: {early}"


def for_each(
    victims: Sequence[Victim], when: Callable[[Victim], bool], act: Callable[[Victim], object]
) -> None:
    """Act on each as soon as it has come so far, while all run."""
    left = list(victims)

    def none_left() -> bool:
        for victim in [victim for victim in left if when(victim)]:
            act(victim)
            left.remove(victim)
        return not left

    wait_until(none_left)


def command_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def process_of(launcher: int, words: str) -> int | None:
    """A descendant of the launcher whose command line holds some words."""
    wanted = words.encode()
    return next((pid for pid in descendants(launcher) if wanted in b" ".join(command_of(pid))), None)


def is_asked(pid: int) -> bool:
    """Whether a stopped process has a signal to save still before it, or is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    masks = dict(line.split(":\t") for line in lines if line.startswith(("SigPnd", "ShdPnd")))
    return any(int(mask, 16) >> (signum - 1) & 1 for mask in masks.values() for signum in ASKED)
