"""What training measures about itself without waiting for the device: losses, non-finite steps, speed."""

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segda_core.distributed import World


@dataclass(frozen=True)
class LossReading:
    """Losses of the global batch, averaged over the steps since the last reading."""

    means: dict[str, float]
    """Over the steps before the first with a loss that is not finite; empty where there is none."""
    first_bad: dict[str, int]
    """Losses that were NaN or infinite on any rank, with the first step at which they were."""


class LossMeter:
    """Keeps the losses of every step on the device; only `read` and `is_finite` wait for it."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._rows: dict[int, Tensor] = {}
        """Of the steps since the last reading."""

    def add(self, losses: dict[str, Tensor], step: int) -> None:
        """Add one micro-batch's share of the losses; the names are the same at every call."""
        values = torch.stack([loss.detach().double() for loss in losses.values()])
        self._names = list(losses)
        self._rows[step] = self._rows[step] + values if step in self._rows else values

    def is_finite(self) -> bool:
        """Whether every loss of this rank's newest step is."""
        return bool(self._rows[max(self._rows)].isfinite().all())

    def read(self, world: World, steps: int) -> LossReading:
        """Means over the `steps` finished since the last reading, which begin anew; collective."""
        numbers = list(self._rows)
        rows = world.control_sum(torch.stack(list(self._rows.values())).cpu())
        self._rows = {}
        first_bad = {
            name: numbers[finite.index(False)]
            for name, finite in zip(self._names, rows.isfinite().T.tolist(), strict=True)
            if not all(finite)
        }
        good = min([steps, *(numbers.index(step) for step in first_bad.values())])
        means = dict(zip(self._names, rows[:good].mean(dim=0).tolist(), strict=True)) if good else {}
        return LossReading(means, first_bad)


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
