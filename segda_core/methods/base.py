"""The interface between a method and the engine: what a method sees, and what it gives back.

A method never calls backward, step or reduce, and never touches a file: precision, accumulation, DDP and
checkpoints are the engine's. For every step the engine runs, in this order,

    prepared = [method.prepare(batch, step) for each micro-batch], counts summed over ranks and micro-batches
    method.before_step(counts, step)
    for each micro-batch, for each update in order:
        losses, carried = update(batch, prepared, carried, step); backward of the losses' sum
    for each update in order: optimizer step, schedule step
    method.after_step(step)

Losses are written as this micro-batch's share of the whole: summed over all micro-batches and ranks they give
the loss of the global batch. A mean over pixels is therefore a sum divided by `prepared.counts[...]`; a mean
over equal-sized images is the micro-batch's mean times `prepared.share`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segda_core.classes import IGNORE_INDEX
from segda_core.config import OutputName, TrialConfig
from segda_core.models.base import Segmenter
from segda_core.training.optim import build_schedule, segmenter_optimizer

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class DomainBatch:
    """Images of one stream, as a loader sends them and then on the training device."""

    images: Tensor
    """(batch, 3, height, width) uint8, RGB."""
    labels: Tensor | None
    """(batch, height, width) train ids, 255 ignored, uint8 and on the training device int64; None where the
    method may not see them."""
    numbers: tuple[int, ...] = ()
    """Which image of its stream each is."""


@dataclass(frozen=True)
class Batch:
    """One micro-batch: a stream the method did not declare is None."""

    source: DomainBatch | None = None
    target: DomainBatch | None = None
    target_labelled: DomainBatch | None = None
    target_pseudo: DomainBatch | None = None
    indices: tuple[int, ...] = ()
    """Place of each sample in the step's global batch: with seed and step it seeds a method's own draws."""


@dataclass(frozen=True)
class Prepared:
    """What `Method.prepare` made of one micro-batch, after the engine's sums."""

    counts: Tensors = field(default_factory=dict)
    """From `prepare` this micro-batch's, in `forward` the sums over all ranks and micro-batches."""
    tensors: Tensors = field(default_factory=dict)
    """Anything of this micro-batch alone (a teacher's pseudo labels)."""
    share: float = 1.0
    """1 / (ranks x micro-batches); set by the engine."""


class Update(nn.Module):
    """One optimizer step: owns, as submodules, exactly the networks it trains.

    Networks it only uses are held through `Used`, which keeps them out of its submodules.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.optimizer: Optimizer
        self.schedule: LRScheduler

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """(losses, tensors for the next updates): named scalars that add up to this update's loss."""
        raise NotImplementedError


class SegmenterUpdate(Update):
    """The update that trains the segmenter, with the trial's optimizer and schedule."""

    def __init__(self, segmenter: Segmenter, config: TrialConfig) -> None:
        super().__init__("segmenter")
        self.segmenter = segmenter
        self.optimizer = segmenter_optimizer(segmenter, config.optimizer)
        self.schedule = build_schedule(self.optimizer, config.schedule, config.steps)


class Method:
    """One algorithm for one trial, whatever networks it trains."""

    def __init__(self, config: TrialConfig) -> None:
        self.config = config

    def networks(self) -> Mapping[str, nn.Module]:
        """Every network with state, by name, for checkpoints."""
        raise NotImplementedError

    def final(self) -> Mapping[OutputName, nn.Module]:
        """The trained network that is the trial's result, by the name of the output."""
        raise NotImplementedError

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """Counts and gradient-free passes of one micro-batch; runs under `torch.no_grad`."""
        return Prepared()

    def before_step(self, counts: Tensors, step: int) -> None:
        """Running statistics of the global batch, by its counts: equal on all ranks; under `torch.no_grad`.

        What they are kept in belongs to a module of `networks()`, so that it is saved.
        """

    def updates(self) -> list[Update]:
        """The updates of one step, in order; called once, after the networks are on their device."""
        raise NotImplementedError

    def after_step(self, step: int) -> None:
        """What follows the optimizers (an EMA teacher)."""


class SegmenterMethod(Method):
    """A method that trains the configured model, which is evaluated in the end."""

    def __init__(self, config: TrialConfig, segmenter: Segmenter) -> None:
        super().__init__(config)
        self.segmenter = segmenter

    @property
    def evaluated(self) -> Segmenter:
        """The network that is scored and whose final weights are kept, as `evaluation.network` says."""
        return self.segmenter

    @property
    def counterpart(self) -> Segmenter | None:
        """The teacher of an evaluated student, or the reverse; None where there is no teacher."""
        teacher = self.networks().get("teacher")
        if not isinstance(teacher, Segmenter):
            return None
        return self.segmenter if self.evaluated is teacher else teacher

    def networks(self) -> Mapping[str, nn.Module]:
        """Every network with state, by name: `segmenter`, `teacher` and the method's own."""
        return {"segmenter": self.segmenter}

    def final(self) -> Mapping[OutputName, nn.Module]:
        """The network that is scored."""
        return {"segmenter": self.evaluated}


class Used:
    """Holds a network without making it a submodule of the update that only uses it."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, *inputs: Tensor) -> Any:
        """The network's output with gradients to the inputs and none to its parameters."""
        detached = {name: parameter.detach() for name, parameter in self.network.named_parameters()}
        return functional_call(self.network, detached, inputs)


def labelled(domain: DomainBatch | None) -> tuple[Tensor, Tensor]:
    """Images and labels of a labelled stream that the method declared."""
    assert domain is not None
    assert domain.labels is not None
    return domain.images, domain.labels


def valid_pixels(domain: DomainBatch | None) -> Tensor:
    """Number of labelled pixels of a labelled stream, as a float scalar on its device."""
    _, labels = labelled(domain)
    return (labels != IGNORE_INDEX).sum().to(torch.float32)
