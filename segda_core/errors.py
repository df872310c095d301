"""The errors a user can cause, and configuration problems said in the user's terms."""

import difflib
import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """A configuration that cannot be used; `problems` holds one line for each fault found."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DataError(ValueError):
    """Images or labels that cannot be used; the message names the file."""


def load_yaml(path: Path) -> Any:  # noqa: ANN401  # a YAML file holds anything
    """Read one YAML file; `ConfigError` where it cannot be read."""
    try:
        return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: not valid YAML: {' '.join(str(error).split())}"]) from error


def parse(model: type[Model], raw: Any, where: str) -> Model:  # noqa: ANN401  # unchecked input
    """Validate unchecked data strictly; `where` (a file or trial) opens each problem of the `ConfigError`."""
    try:
        return model.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        problems = [f"{where}: {_problem(model, dict(item))}" for item in error.errors(include_url=False)]
        raise ConfigError(problems) from error


def did_you_mean(word: str, allowed: list[str]) -> str:
    """`; did you mean X?` where something allowed is close to the word, else nothing."""
    close = difflib.get_close_matches(word, allowed, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _problem(model: type[BaseModel], error: dict[str, Any]) -> str:
    """One pydantic error as: dotted path, what was found, what is allowed, a suggestion."""
    raise NotImplementedError


