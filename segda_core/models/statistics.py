"""Batch norm's running statistics: passes that training adds need not move them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

AVERAGES = ("running_mean", "running_var")
COUNT = "num_batches_tracked"


@contextmanager
def statistics_unmoved(network: nn.Module) -> Iterator[None]:
    """Passes within leave running statistics, and the count of their batches, as they are.

    Layers in training mode normalise by their batch as ever, those in evaluation mode by what they have.
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def statistics_apart(network: nn.Module) -> Iterator[Callable[[], None]]:
    """The pass within moves running statistics of its own, so that it may run beside another one.

    What is yielded brings the network's to where they would be had the pass come now; its way back may still
    be due. Layers in evaluation mode go on as ever.
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and module.training
    ]
    if not norms:
        yield lambda: None
        return
    own = {name: [getattr(norm, name) for norm in norms] for name in (*AVERAGES, COUNT)}
    apart = {name: [torch.empty_like(tensor) for tensor in tensors] for name, tensors in own.items()}
    for tensors in apart.values():
        torch._foreach_zero_(tensors)
    kept = [_kept(norm) for norm in norms]

    def merge() -> None:
        # autograd, which keeps them for the way back, refuses what it sees written; it does not read them
        unwatched = {name: [tensor.data for tensor in tensors] for name, tensors in own.items()}
        for name in AVERAGES:
            torch._foreach_mul_(unwatched[name], kept)
            torch._foreach_add_(unwatched[name], apart[name])
        torch._foreach_add_(unwatched[COUNT], apart[COUNT])

    _put(norms, apart)
    try:
        yield merge
    finally:
        _put(norms, own)


def _put(norms: list[_BatchNorm], statistics: dict[str, list[Tensor]]) -> None:
    for name, tensors in statistics.items():
        for norm, tensor in zip(norms, tensors, strict=True):
            setattr(norm, name, tensor)


def _kept(norm: _BatchNorm) -> float:
    """The share of an average that a pass leaves."""
    if norm.momentum is None:
        raise ValueError("batch norm without momentum, a mean of all passes, cannot be kept apart")
    return 1 - norm.momentum
