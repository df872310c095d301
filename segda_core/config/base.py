"""What every configuration is made of, and what of it identifies a trial."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from segda_core.classes import CLASSES

CONFIG_VERSION = 1
"""Part of every trial's hash. Raise it whenever a default below changes (a frozen test watches them)."""


class NotInIdentity:
    """Marks a field that does not change a trial's result."""


NOT_IN_IDENTITY = NotInIdentity()

LIST = Field(strict=False)
"""Marks a tuple that YAML writes as a list; its items stay strict."""

Size = Annotated[tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]], LIST]
"""(width, height) in pixels."""

ClassName = Literal[CLASSES]  # type: ignore[valid-type]  # mypy cannot read a Literal made from a tuple


def _in_train_id_order(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in CLASSES if name in names)


ClassNames = Annotated[tuple[ClassName, ...], LIST, Field(min_length=1), AfterValidator(_in_train_id_order)]
"""A set of classes, each once and in train-id order, so that equal sets hash equally."""

Beta = Annotated[float, Field(ge=0, lt=1)]
"""Decay of a running average in Adam."""


class Frozen(BaseModel):
    """Base of every configuration: immutable, unknown keys refused, no silent conversions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,  # until first used: the command line imports every model at every start
    )


def identity(config: Frozen) -> dict[str, Any]:
    """What a trial's hash covers: every field that differs from its default and is not `NotInIdentity`."""
    kept: dict[str, Any] = {}
    for name, default in _identifying(type(config)):
        value = getattr(config, name)
        if value is not default and value != default:
            kept[name] = _plain(value)
    return kept


def default_names(model: type[Frozen]) -> dict[str, dict[str, str]]:
    """`{"optimizer": {"name": "sgd"}}`: every setting chosen by its name that has a default, as mappings."""
    chosen = {key: field.default for key, field in model.model_fields.items() if field.discriminator}
    names = {key: getattr(default, "name", None) for key, default in chosen.items()}
    return {key: {"name": name} for key, name in names.items() if name is not None}


@cache
def _identifying(model: type[Frozen]) -> list[tuple[str, Any]]:
    """Name and default of every field that is in the identity; a required one equals no default."""
    fields = model.model_fields.items()
    return [(name, field.default) for name, field in fields if NOT_IN_IDENTITY not in field.metadata]


def _plain(value: Any) -> Any:
    if isinstance(value, Frozen):
        return identity(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
