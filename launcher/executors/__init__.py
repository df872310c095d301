"""Executors by name."""

from collections.abc import Callable

from launcher.executors.base import Executor
from launcher.executors.local import LocalExecutor

EXECUTORS: dict[str, Callable[[int | None, float], Executor]] = {"local": LocalExecutor}
"""Name -> made from (trials at once, minutes without a step before an attempt is ended)."""
