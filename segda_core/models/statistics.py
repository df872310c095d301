"""Batch norm's running statistics: passes that training adds need not move them."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


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
