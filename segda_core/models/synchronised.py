"""Batch norm over the images of all ranks: N ranks then equal one, as without batch norm they always do.

torch's own `SyncBatchNorm` refuses CPU tensors; this one is written with a differentiable sum alone, so that
what is tested on gloo is what runs on NCCL.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SumOverRanks(torch.autograd.Function):
    """A tensor's sum over all ranks; collective in both directions, for each rank's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """The sum."""
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Of the sum of all ranks' losses."""
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of all ranks' images together."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        """The same layer, with its parameters, buffers and what follows within it (timm's activations)."""
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(self, name, buffer)
        self.after = nn.Sequential(*norm.children())
        self.train(norm.training)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, h, w), normalised in float32 and returned in its own dtype.

        `ValueError` in training where all ranks together have one value for each channel, as torch says it.
        """
        normalised: Tensor = self._by_batch(images) if self.training else super().forward(images)
        after: Tensor = self.after(normalised)
        return after

    def _by_batch(self, images: Tensor) -> Tensor:
        values, own = images.float(), images.numel() // self.num_features
        if own * dist.get_world_size() == 1:
            raise ValueError(
                f"expected more than 1 value per channel when training, got {tuple(images.shape)}"
            )
        one = values.new_full((1,), own)
        sums = sum_over_ranks(torch.cat((values.sum(dim=(0, 2, 3)), one)))
        count = sums[-1].detach()
        centred = values - (mean := sums[:-1] / count)[:, None, None]
        variance = sum_over_ranks(centred.square().sum(dim=(0, 2, 3))) / count
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None]).to(images.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def sum_over_ranks(values: Tensor) -> Tensor:
    """With a gradient; collective."""
    total: Tensor = SumOverRanks.apply(values)
    return total


def synchronise(network: nn.Module) -> None:
    """Replace every batch norm in the network, which keeps its parameters and their names."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, SynchronisedBatchNorm2d(child))
