"""Descriptions of fields for schemas, from the docstring below each field.

Pydantic can read them when a model is defined, but that took half of the time every command needs to start.
"""

import ast
import inspect
import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from segda_core.config import Frozen

Schema = dict[str, Any]


def described(schema: Schema) -> Schema:
    """A model's JSON schema, and those it refers to, with descriptions."""
    models = {model.__name__: model for model in _below(Frozen)}
    for name, part in [(schema["title"], schema), *schema.get("$defs", {}).items()]:
        if name in models:
            _describe(part["properties"], models[name])
    return schema


def _describe(properties: Schema, model: type[Frozen]) -> None:
    docs: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, Frozen):
            docs |= _field_docs(Path(inspect.getfile(owner))).get(owner.__name__, {})
    for name, field in model.model_fields.items():
        key = field.alias or name
        if name in docs:
            properties[key] = dict(sorted({**properties[key], "description": docs[name]}.items()))


def _below(model: type[Frozen]) -> Iterator[type[Frozen]]:
    for child in model.__subclasses__():
        yield child
        yield from _below(child)


@cache
def _field_docs(path: Path) -> dict[str, dict[str, str]]:
    """Class -> field -> the text that stands below it."""
    classes = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef))
    return {node.name: dict(_docs_below(node.body)) for node in classes}


def _docs_below(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield field.target.id, inspect.cleandoc(text.value)
