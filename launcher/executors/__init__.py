"""Executors by name; the module of one, and with it its backend, is loaded when a sweep uses it."""

from importlib import import_module

from launcher.executors.base import Executor, Surroundings
from launcher.expand.executor_config import ExecutorConfig

EXECUTORS: dict[str, str] = {
    "local": "launcher.executors.local.LocalExecutor",
    "ray": "launcher.executors.ray.RayExecutor",
    "slurm": "launcher.executors.slurm.SlurmExecutor",
}
"""Name -> class, made from (its configuration, surroundings)."""


def make_executor(config: ExecutorConfig, surroundings: Surroundings) -> Executor:
    """The executor that a configuration names."""
    module, _, name = EXECUTORS[config.name].rpartition(".")
    executor: Executor = getattr(import_module(module), name)(config, surroundings)
    return executor
