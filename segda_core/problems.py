"""Pydantic's validation errors said in the user's terms: path as written, found, allowed, a suggestion."""

import difflib
import math
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

KeyPath = tuple[str | int, ...]
Json = Any
"""A value as YAML or JSON gives it, unchecked."""
Annotation = Any
"""A type, as a field of a model declares it."""
Found = tuple[dict[str, Any], Annotation]
"""One of pydantic's errors and the type at its place."""


@dataclass(frozen=True)
class Problem:
    """One fault of unchecked data."""

    path: KeyPath
    """Keys and list positions as the user writes them; empty where it concerns the whole."""
    text: str
    """What was found, what is allowed, a suggestion."""
    of_key: bool = False
    """The key is the fault, whatever value it was given."""
    of_several: bool = False
    """What is missing, or does not go with the value there, may be given elsewhere."""

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.text}" if self.path else self.text


def did_you_mean(word: str, allowed: Sequence[str]) -> str:
    """`; did you mean X?` where something allowed is close to the word, else nothing."""
    close = closest(word, allowed)
    return "" if close is None else f"; did you mean {close!r}?"


def closest(word: str, allowed: Sequence[str]) -> str | None:
    """What is allowed and looks most like the word; None where nothing does."""
    return next(iter(difflib.get_close_matches(word, allowed, n=1)), None)


def dotted(path: KeyPath) -> str:
    """`("source", 0, "name")` as `source[0].name`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def shown(value: Json) -> str:
    """A found value in an error: short, with its kind where the text alone could be anything."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, dict):
        keys = ", ".join(str(key) for key in list(value)[:4])
        return f"a mapping of {keys}{', …' if len(value) > 4 else ''}" if value else "an empty mapping"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def problems(model: type[BaseModel], errors: list[dict[str, Any]]) -> list[Problem]:
    """Pydantic's errors with one problem for each path: a union reports each of its choices apart.

    Where one of them was entered, that the value is none of the others goes without saying.
    """
    grouped: dict[KeyPath, list[Found]] = {}
    for error in errors:
        path, annotation = _resolve(model, error["loc"])
        if error["type"] == "union_tag_invalid":
            path = (*path, "name")
        grouped.setdefault(path, []).append((error, annotation))
    above = {path[:length] for path in grouped for length in range(1, len(path))}
    return [_as_problem(path, found) for path, found in grouped.items() if path not in above]


def _as_problem(path: KeyPath, found: list[Found]) -> Problem:
    kind = found[0][0]["type"]
    return Problem(path, _problem(path, found), kind == "extra_forbidden", kind in OF_SEVERAL)


OF_SEVERAL = ("missing", "union_tag_not_found", "value_error", "assertion_error")
"""Pydantic's kinds of errors that another value may be to blame for."""


def _problem(path: KeyPath, found: list[Found]) -> str:
    """What was found, what is allowed and a suggestion, from pydantic's errors at one path."""
    error, annotation = found[0]
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), annotation)
    if kind == "missing":
        return f"missing; it needs {_kinds(annotation)}"
    if kind == "union_tag_not_found":
        return f"name is missing; allowed: {', '.join(_tags(annotation))}"
    if kind == "union_tag_invalid":
        word = str(context["tag"])
        return (
            f"found {word!r}; allowed: {', '.join(_tags(annotation))}{did_you_mean(word, _tags(annotation))}"
        )
    if kind in ("value_error", "assertion_error"):
        return str(error["msg"]).removeprefix("Value error, ")
    allowed = " or ".join(dict.fromkeys(_allowed(item) for item, _ in found))
    return f"found {shown(value)}; allowed: {allowed}{_hint(value, [item for item, _ in found], annotation)}"


def _unknown_key(key: str, owner: Annotation) -> str:
    fields = list(_fields(owner))
    if "." in key and all(key.split(".")):
        *above, last = key.split(".")
        nested = ": {".join([*above, f"{last}: …"]) + "}" * len(above)
        return f"unknown key; dotted paths are for grid, zip, exclude and --set: here write {nested}"
    return f"unknown key; allowed: {', '.join(fields)}{did_you_mean(key, fields)}"


PLAIN_WORDS = (
    ("valid tuple", "list"),
    ("valid array", "list"),
    ("valid list", "list"),
    ("a valid string", "text"),
    ("an instance of", "a mapping of"),
    ("a valid integer", "an integer"),
    ("a valid number", "a number"),
    ("a valid boolean", "true or false"),
)


def _allowed(error: dict[str, Any]) -> str:
    """Pydantic's `Input should be …` in the words of YAML."""
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "a mapping"
    if error["type"] == "too_short":
        return f"at least {error['ctx']['min_length']} entries"
    if error["type"] == "too_long":
        return f"at most {error['ctx']['max_length']} entries"
    if error["type"] == "string_pattern_mismatch":
        return f"text of the pattern {error['ctx']['pattern']}"
    text = str(error["msg"]).removeprefix("Input should be ")
    for pydantic_words, words in PLAIN_WORDS:
        text = text.replace(pydantic_words, words)
    return f"a number {text}" if text.startswith(("greater", "less", "a multiple")) else text


def _hint(value: Json, errors: list[dict[str, Any]], annotation: Annotation) -> str:
    if not isinstance(value, str):
        return ""
    if value == "ladder":
        return "; `ladder` stands for the profile's sizes only as the grid's target.subset.size: ladder"
    kinds = {error["type"] for error in errors}
    if kinds & {"int_type", "float_type"} and (number := _number(value, whole="int_type" in kinds)):
        quoted = not isinstance(yaml.safe_load(value), str)
        reason = "leave the quotes out" if quoted else f"YAML reads {value} as text"
        return f"; {reason}: write {number}"
    if value in _tags(annotation):
        return f"; write {{name: {value}}}"
    choices = [str(choice) for error in errors for choice in _choices(error)]
    return did_you_mean(value, choices)


def _choices(error: dict[str, Any]) -> list[str]:
    if error["type"] != "literal_error":
        return []
    return [word.strip("'") for word in str(error["ctx"]["expected"]).replace(" or ", ", ").split(", ")]


def _number(text: str, whole: bool) -> str | None:
    """How YAML 1.1 wants a number written that it read as text: `1e-3` as `1.0e-3`."""
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    if whole:
        return str(int(value)) if value.is_integer() else None
    mantissa, exponent_mark, exponent = text.lower().partition("e")
    if not exponent_mark:
        return text
    sign = "" if exponent[:1] in ("-", "+") else "+"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{sign}{exponent}"


def _resolve(model: type[BaseModel], location: Sequence[str | int]) -> tuple[KeyPath, Annotation]:
    """Pydantic's location as the user's path, and the type there (for an unknown key, its owner's).

    Pydantic adds a step for each union it entered (a tag, a type's name) that the user did not write.
    """
    path: list[str | int] = []
    here: Annotation = model
    for part in location:
        here = _plain(here)
        if _is_union(here):
            here = next((choice for choice in _models(here) if part in _names(choice)), None)
            continue
        path.append(part)
        if _is_model(here) and part not in _fields(here):
            return tuple(path), here
        here = _child(here, part)
    return tuple(path), _plain(here)


def _child(annotation: Annotation, part: str | int) -> Annotation:
    if _is_model(annotation):
        return _fields(annotation)[str(part)].annotation
    arguments = get_args(annotation)
    if _origin(annotation) is dict:
        return arguments[1]
    if isinstance(part, int) and arguments:
        return arguments[part] if part < len(arguments) and arguments[-1] is not Ellipsis else arguments[0]
    return None


def _plain(annotation: Annotation) -> Annotation:
    """Without `Annotated` and `| None`, which leave no trace in pydantic's locations."""
    while _origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if _is_union(annotation):
        choices = [choice for choice in get_args(annotation) if choice is not type(None)]
        return _plain(choices[0]) if len(choices) == 1 else annotation
    return annotation


def _is_union(annotation: Annotation) -> bool:
    return _origin(annotation) in (Union, types.UnionType)


def _is_model(annotation: Annotation) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _models(union: Annotation) -> Iterator[type[BaseModel]]:
    return (choice for choice in map(_plain, get_args(union)) if _is_model(choice))


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by the key the user writes: `from` is no name in Python."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _names(model: type[BaseModel]) -> tuple[str, ...]:
    """What pydantic may call a model in a location: its tag or its class."""
    tag = model.model_fields.get("name")
    return (*(get_args(tag.annotation) if tag else ()), model.__name__)


def _tags(annotation: Annotation) -> list[str]:
    """The names that choose among the models of a union."""
    if not _is_union(annotation):
        return []
    return [_names(choice)[0] for choice in _models(annotation)]


def _kinds(annotation: Annotation) -> str:
    """What a missing field takes, for people."""
    if annotation is None:
        return "a value"
    if tags := _tags(annotation):
        return f"a mapping with a name: {', '.join(tags)}"
    if _is_model(annotation):
        fields = annotation.model_fields.items()
        return f"a mapping with {', '.join(name for name, field in fields if field.is_required())}"
    if _origin(annotation) in (tuple, list):
        return "a list"
    return {int: "an integer", float: "a number", str: "text", bool: "true or false"}.get(
        annotation, "a value"
    )


def _origin(annotation: object) -> object:
    return get_origin(annotation)
