"""What the command line changes of a sweep file: `--set path=value` and `--executor NAME`."""

from collections.abc import Sequence

from launcher.expand.executor_config import ExecutorConfig
from launcher.expand.layers import Layer, merge, put
from segda_core.config import Frozen
from segda_core.errors import ConfigError, Json, check, parse_yaml


class _Chosen(Frozen):
    """The executor of a sweep file with the command line's settings over it."""

    executor: ExecutorConfig


def override(text: str) -> Layer:
    """One `--set` as a layer."""
    path, equals, value = text.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        raise ConfigError([f"--set {text}: allowed: path=value, as optimizer.lr=1.0e-3"])
    try:
        return Layer("--set", "--set", path.strip(), keys, parse_yaml(value))
    except ValueError as error:
        raise ConfigError([f"--set {text}: {error}"]) from error


def choose_executor(written: Json, name: str | None, settings: Sequence[Layer], where: str) -> ExecutorConfig:
    """The executor as written, with the command line's name and settings over it.

    `where` is the place in the file that an error blames where the command line says nothing.
    """
    raw: Json = {"executor": written}
    if name is not None:
        raw = merge(raw, {"executor": {"name": name}})
    changes = [layer for layer in settings if layer.path[0] == "executor"]
    for layer in changes:
        raw = put(raw, [str(key) for key in layer.path], layer.value)
    if name is not None or changes:
        where = "--executor: " if name is not None else "--set: "
    checked = check(_Chosen, raw)
    if isinstance(checked, list):
        raise ConfigError([f"{where}{problem}" for problem in checked])
    return checked.executor
