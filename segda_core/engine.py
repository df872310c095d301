"""One optimizer step of any method: accumulation, reduction, precision, clipping, schedules."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segda_core.config import Stream, TrialConfig
from segda_core.distributed import World, wrap
from segda_core.methods import METHODS
from segda_core.methods.base import Batch, DomainBatch, Method, Prepared, SegmenterMethod, Tensors, Update
from segda_core.methods.contrastive import Contrastive
from segda_core.methods.student import Student
from segda_core.models.base import Segmenter
from segda_core.models.blocks import compile_blocks
from segda_core.models.synchronised import synchronise
from segda_core.training import lanes
from segda_core.training.capture import Captured, CudaGraph, Recording
from segda_core.transfer import Copies, moved
from segda_core.trials.meter import LossMeter
from segda_core.trials.weights import load_trained, starting_segmenter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wrapped:
    """One update and the module its forward runs through, which reduces gradients."""

    update: Update
    module: DistributedDataParallel | Update
    """The update itself in a world of one, where there is nothing to reduce."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What this update trains."""
        return [parameter for parameter in self.update.parameters() if parameter.requires_grad]

    def reducing(self, reduce: bool) -> AbstractContextManager[None]:
        """Where its backward passes add gradients up over the ranks, or do not yet."""
        if reduce or not isinstance(self.module, DistributedDataParallel):
            return nullcontext()
        return self.module.no_sync()


def build_method(
    config: TrialConfig, device: torch.device, made: Mapping[str, Path], *, resumes: bool = False
) -> Method:
    """The trial's method with its networks on the device, initialised from the seed or a parent.

    `made`: files that parents made, by role. Where a checkpoint will fill the networks (`resumes`), initial
    weights are not read: they need not exist any more.
    """
    torch.manual_seed(config.seed)
    kind = METHODS[config.method.name]
    frozen: list[Segmenter] = []
    method: Method
    if not issubclass(kind, SegmenterMethod):
        method = kind(config)
    else:
        segmenter = starting_segmenter(config, made, resumes=resumes)
        if config.sync_batch_norm and config.ranks > 1:
            synchronise(segmenter)
        if issubclass(kind, Student):
            teacher = load_trained(made["teacher"], device).segmenter
            method, frozen = kind(config, segmenter, teacher), [teacher]
        else:
            method = kind(config, segmenter)
    if config.contrastive is not None:
        assert isinstance(method, SegmenterMethod)
        method = Contrastive(method)
    layout = torch.channels_last if device.type == "cuda" else torch.preserve_format
    for network in method.networks().values():
        network.to(device)
        network.to(memory_format=layout)  # cuDNN would turn contiguous weights round in every step
    if config.compile:
        compile_blocks([*method.networks().values(), *frozen])
    return method


def recording_for(config: TrialConfig, device: torch.device) -> Recording | None:
    """What repeats the trial's passes, where that is asked for and possible."""
    if not config.capture:
        return None
    if device.type != "cuda":
        logger.info("capture: there is no GPU; steps run as usual")
        return None
    return CudaGraph(device)


class Engine:
    """Runs a method's updates; all ranks hold equal weights after every step."""

    def __init__(
        self,
        config: TrialConfig,
        world: World,
        made: Mapping[str, Path] | None = None,
        *,
        resumes: bool = False,
    ) -> None:
        """`made`: files that parents made, by role; see `build_method`."""
        self.config = config
        self.world = world
        self.method = build_method(config, world.device, made or {}, resumes=resumes)
        updates = self.method.updates()
        self.wrapped = [Wrapped(update, wrap(update) if world.ranks > 1 else update) for update in updates]
        recording = recording_for(config, world.device)
        self.captured = Captured(self._passes, recording) if recording else None
        self.copies = Copies(world.device)
        self.meter = LossMeter()
        self.rates: dict[str, float] = {}
        """Learning rates of the last step, see `learning_rates`."""

    def backward(self, batches: list[Batch], step: int) -> None:
        """Forward and backward of every update over this rank's micro-batches; gradients end up reduced."""
        torch.manual_seed(network_seed(self.config.seed, step, self.world.rank))
        self.copies.begin_step()
        batches = [to_device(batch, self.world.device, self.copies.stream) for batch in batches]
        passes = self.captured or self._passes
        for shares in passes(batches, self._prepare(batches, step), step):
            self.meter.add(shares, step)

    def advance(self, step: int) -> None:
        """Step the optimizers and schedules in order, then let the method follow."""
        self.rates = learning_rates(wrapped.update for wrapped in self.wrapped)
        for wrapped in self.wrapped:
            if self.config.clip_norm is not None:
                nn.utils.clip_grad_norm_(wrapped.parameters, self.config.clip_norm)
            wrapped.update.optimizer.step()
            wrapped.update.schedule.step()
        with torch.no_grad():
            self.method.after_step(step)

    def _prepare(self, batches: list[Batch], step: int) -> list[Prepared]:
        with torch.no_grad(), self._autocast():
            prepared = [self.method.prepare(batch, step) for batch in batches]
            totals = sum_counts([ready.counts for ready in prepared], self.world)
            self.method.before_step(totals, step)
        share = 1.0 / (self.world.ranks * len(batches))
        return [replace(ready, counts=totals, share=share) for ready in prepared]

    def _passes(self, batches: list[Batch], prepared: list[Prepared], step: int) -> list[Tensors]:
        for wrapped in self.wrapped:
            wrapped.update.optimizer.zero_grad()
        last = len(batches) - 1
        return [
            self._micro_batch(batch, ready, step, reduce=index == last)
            for index, (batch, ready) in enumerate(zip(batches, prepared, strict=True))
        ]

    def _micro_batch(self, batch: Batch, prepared: Prepared, step: int, *, reduce: bool) -> Tensors:
        carried: Tensors = {}
        shares: Tensors = {}
        forward_done = None
        for wrapped in self.wrapped:  # each beside the backward pass of the one before it
            with lanes.behind(forward_done, carried.values()), wrapped.reducing(reduce):
                with self._autocast():
                    losses, carried = wrapped.module(batch, prepared, carried, step)
                total = torch.stack(list(losses.values())).sum()
                forward_done = lanes.mark()
                torch.autograd.backward(total * self.world.ranks)  # DDP averages; shares of ranks add up
            carried = {name: tensor.detach() for name, tensor in carried.items()}
            shares |= {f"{wrapped.update.name}/{name}": loss.detach() for name, loss in losses.items()}
        lanes.join()
        return shares

    def _autocast(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.world.device.type, dtype=torch.bfloat16, enabled=enabled)

    def broadcast_buffers(self) -> None:
        """Rank 0's batch-norm statistics on every rank, before evaluating or saving; collective."""
        self.world.broadcast_buffers(self.method.networks().values())

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the networks and optimizers; keys do not depend on the ranks."""
        updates = [wrapped.update for wrapped in self.wrapped]
        return {
            "networks": {name: network.state_dict() for name, network in self.method.networks().items()},
            "optimizers": {update.name: update.optimizer.state_dict() for update in updates},
            "schedules": {update.name: update.schedule.state_dict() for update in updates},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        for name, network in self.method.networks().items():
            network.load_state_dict(state["networks"][name])
        for wrapped in self.wrapped:
            wrapped.update.optimizer.load_state_dict(state["optimizers"][wrapped.update.name])
            wrapped.update.schedule.load_state_dict(state["schedules"][wrapped.update.name])

    def check_weights(self, step: int) -> None:
        """`FloatingPointError` where a weight or buffer is NaN or infinite: not a state to resume from."""
        for name, network in self.method.networks().items():
            if not is_finite(network.state_dict().values()):
                raise FloatingPointError(f"step {step}: the weights of {name} are NaN or infinite")


def learning_rates(updates: Iterable[Update]) -> dict[str, float]:
    """Current rate of every parameter group: `UPDATE`, or `UPDATE/GROUP` where it has several."""
    rates = {}
    for update in updates:
        groups = update.optimizer.param_groups
        for index, group in enumerate(groups):
            suffix = f"/{group.get('name', index)}" if len(groups) > 1 else ""
            rates[f"{update.name}{suffix}"] = float(group["lr"])
    return rates


def network_seed(seed: int, step: int, rank: int) -> int:
    """Seed of the randomness inside networks (dropout) for one step of one rank."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)


def to_device(batch: Batch, device: torch.device, stream: torch.cuda.Stream | None = None) -> Batch:
    """The same batch on the training device, see `moved`: it comes while the step before is computed.

    Labels become int64 only there: eight times the bytes.
    """

    def copied(domain: DomainBatch | None) -> DomainBatch | None:
        if domain is None:
            return None
        labels = None if domain.labels is None else moved(domain.labels, device, stream).long()
        return DomainBatch(moved(domain.images, device, stream), labels, domain.numbers)

    streams = {stream: copied(getattr(batch, stream)) for stream in get_args(Stream)}
    return Batch(**streams, indices=batch.indices)


def sum_counts(counts: list[Tensors], world: World) -> Tensors:
    """Sums of equally named and shaped tensors over micro-batches and ranks, in one reduction; collective."""
    first = counts[0]
    if not first:
        return {}
    micro = torch.stack([torch.cat([each[name].double().flatten() for name in first]) for each in counts])
    sums = world.all_sum(micro.sum(dim=0))
    parts = torch.split(sums, [tensor.numel() for tensor in first.values()])
    named = zip(first.items(), parts, strict=True)
    return {name: part.view(tensor.shape).to(tensor.dtype) for (name, tensor), part in named}


def is_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every number of the floating-point tensors is finite; waits for the device once."""
    checks = [tensor.isfinite().all() for tensor in tensors if tensor.is_floating_point()]
    return not checks or bool(torch.stack(checks).all())
