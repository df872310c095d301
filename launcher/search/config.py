"""The `search:` of a sweep file: a space of settings, how to go through it, when to give up on a trial."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segda_core.config import LIST, Frozen
from segda_core.errors import Json

Range = Annotated[tuple[float, float], LIST]


class Dimension(Frozen):
    """Where one setting's values come from; exactly one of these is given."""

    uniform: Range | None = None
    """[lowest, highest]"""
    loguniform: Range | None = None
    """[lowest, highest], both above 0: every factor is as likely as every other of its size."""
    choice: Annotated[list[Any], Field(min_length=1)] | None = None
    """One of these values, mappings included."""
    int_: Annotated[tuple[int, int], LIST] | None = Field(default=None, alias="int")
    """[lowest, highest], both included."""

    @model_validator(mode="after")
    def _check(self) -> "Dimension":
        given = [name for name in ("uniform", "loguniform", "choice", "int_") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("give exactly one of uniform, loguniform, choice and int")
        for bounds in (self.uniform, self.loguniform, self.int_):
            if bounds is not None and bounds[0] >= bounds[1]:
                raise ValueError(f"found {list(bounds)}; allowed: [lowest, highest]")
        if self.loguniform is not None and self.loguniform[0] <= 0:
            raise ValueError(f"loguniform: found {list(self.loguniform)}; allowed: bounds above 0")
        return self

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lowest and highest value; None of a choice."""
        return self.uniform or self.loguniform or self.int_

    def holds(self, value: Json) -> bool:
        """Whether a value may come from here."""
        if self.choice is not None:
            return any(value == each and type(value) is type(each) for each in self.choice)
        if self.int_ is not None and not isinstance(value, int):
            return False
        assert self.bounds is not None
        return isinstance(value, int | float) and self.bounds[0] <= value <= self.bounds[1]


class AshaConfig(Frozen):
    """Asynchronous successive halving (Li et al., MLSys 2020) by the mIoU of evaluations on the way."""

    name: Literal["asha"]
    grace_steps: Annotated[int, Field(gt=0)]
    """The first rung: no trial is stopped before; further rungs are this times powers of the factor."""
    reduction_factor: Annotated[int, Field(gt=1)] = 4
    """At each rung about one of so many trials goes on (the paper's eta, and its value)."""


class SearchConfig(Frozen):
    """A search over the sweep's base."""

    space: Annotated[dict[str, Dimension], Field(min_length=1)]
    """Dotted path of a setting -> where its values come from."""
    algorithm: Literal["random", "tpe"] = "random"
    """random: a trial is a function of seed and its number alone. tpe: Optuna's tree-structured Parzen
    estimator (Bergstra et al., NeurIPS 2011) proposes trials by the mIoU of those that ended."""
    trials: Annotated[int, Field(gt=0)]
    """How many configurations are tried."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the search; trials have `seed` of their configuration."""
    scheduler: Literal["none"] | AshaConfig = "none"
    """asha stops poor trials early; it needs executor ray and `evaluation.every`."""

    @property
    def is_adaptive(self) -> bool:
        """Whether results decide which trials come next, so that they are not known beforehand."""
        return self.algorithm == "tpe"

    def holds(self, point: Mapping[str, Json]) -> bool:
        """Whether a point may come from this space."""
        return point.keys() == self.space.keys() and all(
            self.space[path].holds(value) for path, value in point.items()
        )
