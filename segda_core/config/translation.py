"""Methods that translate images between domains."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from segda_core.config.base import LIST, Beta
from segda_core.config.handing_on import Input
from segda_core.config.method_settings import MethodSettings


class CycleGanConfig(MethodSettings):
    """Image translation by cycle consistency (Zhu et al., ICCV 2017); trains no segmenter."""

    streams = ("source", "target")
    target_labels = "never"
    inputs: ClassVar[Mapping[str, Input]] = {}
    outputs = ("generator",)

    name: Literal["cyclegan"]
    channels: Annotated[int, Field(gt=0)] = 64
    """Width of the generators' first layer (published: 64, 11 378 179 parameters each)."""
    blocks: Annotated[int, Field(gt=0)] = 9
    """Residual blocks of a generator (published: 9 for images of 256 and more a side)."""
    discriminator_channels: Annotated[int, Field(gt=0)] = 64
    """Width of the discriminators' first layer (published: 64, 2 764 737 parameters each)."""
    lambda_cycle: Annotated[float, Field(ge=0)] = 10.0
    """Weight of each direction's cycle."""
    lambda_identity: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the identity loss, times lambda_cycle."""
    pool: Annotated[int, Field(gt=0)] = 50
    """Generated images that discriminators may be shown again."""
    lr: Annotated[float, Field(gt=0)] = 2e-4
    """Of Adam, for all four networks."""
    betas: Annotated[tuple[Beta, Beta], LIST] = (0.5, 0.999)
    decay_start: Annotated[int, Field(ge=0)] | None = None
    """Step from which the rate falls linearly, to 0 at the last; None: half of the trial's steps."""
