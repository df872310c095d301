"""The errors a user can cause, and configuration problems said in the user's terms."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from segda_core.problems import Json, KeyPath, Problem, closest, did_you_mean, dotted, problems, shown

__all__ = [
    "ConfigError",
    "DataError",
    "Json",
    "KeyPath",
    "Problem",
    "check",
    "closest",
    "did_you_mean",
    "dotted",
    "load_yaml",
    "parse",
    "parse_yaml",
    "shown",
]

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """A configuration that cannot be used; `problems` holds one line for each fault found."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DataError(ValueError):
    """Images or labels that cannot be used; the message names the file."""


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # C where it is built
    """YAML's safe loader, refusing a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build one mapping after looking at its keys as they were written."""
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                fault = f"key {key.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
            seen.add(str(key.value))
        return dict(super().construct_mapping(node, deep))


def load_yaml(path: Path) -> Json:
    """Read one YAML file; `ConfigError` where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text"]) from error
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: not valid YAML: {_yaml_fault(error, text)}"]) from error


def parse_yaml(text: str) -> Json:
    """The value YAML text stands for, as in a file; `ValueError` where it is not YAML."""
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {_yaml_fault(error, text)}") from error


def parse(model: type[Model], raw: Json, where: str) -> Model:
    """Validate unchecked data strictly; `where` (a file or trial) opens each problem of the `ConfigError`."""
    checked = check(model, raw)
    if isinstance(checked, list):
        raise ConfigError([f"{where}: {problem}" for problem in checked])
    return checked


def check(model: type[Model], raw: Json) -> Model | list[Problem]:
    """The model, or every problem of the data: one for each path."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        return problems(model, [dict(item) for item in error.errors(include_url=False)])


def _yaml_fault(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        fault = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}"
        line = text.splitlines()[mark.line : mark.line + 1]
        return (
            f"{fault}: a tab; YAML takes spaces"
            if line and line[0][mark.column :].startswith("\t")
            else fault
        )
    return " ".join(str(error).split())
