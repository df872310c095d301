"""A worker process and its surroundings: it dies with its parent, and stops in order on a signal."""

import ctypes
import gc
import logging
import os
import signal
import sys
from enum import IntEnum
from importlib import import_module
from types import FrameType, ModuleType
from typing import NoReturn

SAVE_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
"""Signals that ask an attempt to save and leave."""

USER_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""How a user ends a command: Ctrl-C, kill, closing the terminal."""

INTERRUPTED = 130

AGENT_VARIABLE = "SEGDA_AGENT"
"""Environment variable with the pid of the torchrun that starts workers."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded here, not between a fork and its exec, where another thread may hold the loader's lock for ever."""


class Verdict(IntEnum):
    """What all ranks agree on after each backward; the highest of any rank's wishes wins."""

    CONTINUE = 0
    SAVE = 1
    """A signal came: finish the step, save, leave."""
    SUPERSEDED = 2
    """A higher attempt exists: leave without writing anything more."""
    NON_FINITE = 3
    """A loss is NaN or infinite: never save this state for resuming."""


class Leave(Exception):
    """Every rank leaves in order, for the reason they agreed on."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.name)
        self.verdict = verdict


class StopRequest:
    """This rank's wish to stop; signals and the heartbeat's fence only ever raise it."""

    def __init__(self) -> None:
        self.verdict = Verdict.CONTINUE

    def ask(self, verdict: Verdict) -> None:
        """Ask for `verdict` unless something stronger was asked for."""
        self.verdict = max(self.verdict, verdict)

    def listen(self) -> None:
        """Turn TERM, INT and USR2 into a request to save; a second signal changes nothing."""
        for number in SAVE_SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.ask(Verdict.SAVE)


def end_on_signals() -> None:
    """Have a command that a user waits for end in order, without a traceback, on the first of their signals.

    `segda` starts it with INT held back, so that none comes before this.
    """
    for number in USER_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end_in_order)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_in_order(number: int, frame: FrameType | None) -> NoReturn:
    """Further signals would break off what is cleaned up; a terminal and `segda` may send one each."""
    for further in USER_SIGNALS:
        signal.signal(further, _do_nothing)
    raise SystemExit(INTERRUPTED)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Instead of `SIG_IGN`, of which Python complains where the signal has come a moment before."""


def die_with_parent() -> None:
    """Get TERM when torchrun dies (Linux), and leave at once where it died before this call.

    Workers of torchrun have a session of their own, so nothing else reaches them when it is killed.
    """
    signal_at_parents_death(signal.SIGTERM)
    if os.environ.get(AGENT_VARIABLE) not in (None, str(os.getppid())):
        raise SystemExit("torchrun died before this worker had started")


def signal_at_parents_death(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies (Linux)."""
    if sys.platform == "linux":
        if _LIBC.prctl(_PR_SET_PDEATHSIG, number) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def load(module: str) -> ModuleType:
    """Import what needs torch. Modules stay: looking for garbage among them takes tenths of a second."""
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def leave_at_once(code: int = 0) -> NoReturn:
    """End without taking the interpreter apart: with torch loaded that is up to a second of nothing."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
