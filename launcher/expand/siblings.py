"""Validating thousands of points: of those that differ in their seed alone, one is validated in full."""

from collections.abc import Hashable
from typing import Any

from launcher.expand.layers import Layer
from segda_core.config import TaskConfig
from segda_core.errors import Json, Problem, check

SEED = "seed"
"""A setting that is right or wrong by itself: no validator looks at it beside another one."""


class Siblings:
    """Validates the raw configurations of one task."""

    def __init__(self, model: type[TaskConfig]) -> None:
        self._model = model
        self._known: dict[Hashable, TaskConfig] = {}
        self._seeds: set[Any] = set()
        """Those that were validated."""

    def check(self, raw: Json, family: Hashable) -> TaskConfig | list[Problem]:
        """The configuration, or every problem of it; `family` is the same where only the seed is another."""
        seed = raw.get(SEED)
        known = self._known.get(family)
        if known is not None and type(seed) is int and seed in self._seeds:
            return known.model_copy(update={SEED: seed})
        checked = check(self._model, raw)
        if type(seed) is int and isinstance(checked, TaskConfig):
            self._known[family] = checked
            self._seeds.add(seed)
        return checked


def family_of(point: tuple[Layer, ...], parents: tuple[str, ...]) -> Hashable:
    """What points with the same parents have in common where only their seed differs.

    By the very layers, as long as they are kept: equal values may be of other types, as 1 and true.
    """
    return parents, tuple(id(layer) for layer in point if layer.path != (SEED,))
