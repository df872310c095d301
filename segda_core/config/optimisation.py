"""Optimizers and learning-rate schedules."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from segda_core.config.base import LIST, Beta, Frozen


class SgdConfig(Frozen):
    """Stochastic gradient descent; defaults are those of AdaptSegNet's generator."""

    name: Literal["sgd"]
    lr: Annotated[float, Field(gt=0)] = 2.5e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    head_lr_multiplier: Annotated[float, Field(gt=0)] = 10.0

    @model_validator(mode="after")
    def _check(self) -> "SgdConfig":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class AdamWConfig(Frozen):
    """AdamW; defaults are DAFormer's (Hoyer et al., CVPR 2022), no weight decay on norms and biases."""

    name: Literal["adamw"]
    lr: Annotated[float, Field(gt=0)] = 6e-5
    betas: Annotated[tuple[Beta, Beta], LIST] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    head_lr_multiplier: Annotated[float, Field(gt=0)] = 10.0


OptimizerConfig = Annotated[SgdConfig | AdamWConfig, Field(discriminator="name")]


class DiscriminatorOptimizerConfig(Frozen):
    """Adam of a discriminator (AdaptSegNet: lr 1e-4, betas 0.9 and 0.99)."""

    lr: Annotated[float, Field(gt=0)] = 1e-4
    betas: Annotated[tuple[Beta, Beta], LIST] = (0.9, 0.99)


class ScheduleConfig(Frozen):
    """Learning-rate factor over steps; warm-up replaces the first, the rest stay put (as in MRNet's code)."""

    name: Literal["poly", "linear", "constant"] = "poly"
    power: Annotated[float, Field(gt=0)] = 0.9
    """Exponent of poly: (1 - step / length) ** power."""
    length: Annotated[int, Field(gt=0)] | None = None
    """Steps until poly or linear is 0; None: the trial's steps (AdaptSegNet: 250 000, stopped at 150 000)."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    warmup_start: Annotated[float, Field(ge=0, le=1)] = 0.1
    """During warm-up the factor is start + (1 - start) * step / warmup_steps."""
