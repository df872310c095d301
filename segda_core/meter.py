"""What training measures about itself without waiting for the device: losses, non-finite steps, speed."""

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segda_core.distributed import World

NEVER = 2.0**53
"""Larger than any step, and exact in float64."""


@dataclass(frozen=True)
class LossReading:
    """Losses of the global batch, averaged over the steps since the last reading."""

    means: dict[str, float]
    first_bad: dict[str, int]
    """Losses that were NaN or infinite on any rank, with the first step at which they were."""


class LossMeter:
    """Adds losses up on the device; only `read` and `is_finite` wait for it."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sums = torch.zeros(0)
        self._first_bad = torch.zeros(0)

    def add(self, losses: dict[str, Tensor], step: int) -> None:
        """Add one micro-batch's share of the losses; the names are the same at every call."""
        values = torch.stack([loss.detach().double() for loss in losses.values()])
        if not self._names:
            self._names = list(losses)
            self._sums = torch.zeros_like(values)
            self._first_bad = torch.full_like(values, NEVER)
        self._sums += values
        seen = torch.full_like(values, step).masked_fill(values.isfinite(), NEVER)
        self._first_bad = torch.minimum(self._first_bad, seen)

    def is_finite(self) -> bool:
        """Whether every loss of this rank has been finite so far."""
        return bool((self._first_bad == NEVER).all())

    def read(self, world: World, steps: int) -> LossReading:
        """Means over the `steps` since the last reading, which begin anew; collective."""
        means = (world.control_sum(self._sums.cpu().clone()) / max(steps, 1)).tolist()
        bad = world.control_min(self._first_bad.cpu().clone()).tolist()
        self._sums.zero_()
        return LossReading(
            means=dict(zip(self._names, means, strict=True)),
            first_bad={name: int(step) for name, step in zip(self._names, bad, strict=True) if step < NEVER},
        )


@dataclass
class Pace:
    """Training time, without evaluation and saving: of the steps since the last reading, and of the trial."""

    images_per_step: int
    train_seconds: float = 0.0
    """Of all steps up to the last reading, earlier attempts' included as far as they were saved."""
    steps: int = 0
    """Since the last reading."""
    waited: float = 0.0
    """Seconds of them spent waiting for data."""
    _since: float = field(default_factory=time.perf_counter)

    def restart(self) -> None:
        """Begin a new window now."""
        self.steps, self.waited, self._since = 0, 0.0, time.perf_counter()

    def read(self) -> tuple[float, float]:
        """(images per second, share of the time that waited for data) of this window, which ends."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        self.train_seconds += seconds
        reading = self.steps * self.images_per_step / seconds, min(self.waited / seconds, 1.0)
        self.restart()
        return reading
