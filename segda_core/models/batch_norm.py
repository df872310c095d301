"""Batch norm with the ReLU and the sum behind it; on a GPU as kernels of its own where that is asked for."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.models.blocks import as_written


class Twice(NamedTuple):
    """One tensor for two readers, whose gradients a fused norm adds up itself."""

    branch: Tensor
    shortcut: Tensor


def norm_relu(norm: nn.Module, x: Tensor, shortcut: Tensor | None = None, *, relu: bool = True) -> Twice:
    """relu(norm(x) + shortcut), all of one shape (batch, channels, height, width)."""
    if runs_fused(norm, x, shortcut):
        from segda_core.models.fused_norm import NormReLU  # needs Triton

        x = x.contiguous(memory_format=torch.channels_last)
        if shortcut is not None:
            shortcut = shortcut.contiguous(memory_format=torch.channels_last)
        return Twice(*NormReLU.apply(x, shortcut, norm.weight, norm.bias, norm, relu))
    y: Tensor = norm(x)
    y = y if shortcut is None else y + shortcut
    y = functional.relu(y) if relu else y
    return Twice(y, y)


def runs_fused(norm: nn.Module, x: Tensor, shortcut: Tensor | None = None) -> bool:
    """Whether the layer has kernels for this.

    Not without parameters, nor for averages over all batches, nor where fixed statistics meet parameters that
    are trained, nor for a single pixel, nor for two types of numbers.
    """
    if not (x.is_cuda and getattr(norm, "fused", False) and isinstance(norm, nn.BatchNorm2d)):
        return False
    if as_written() or not norm.affine or norm.momentum is None or x.numel() == norm.num_features:
        return False
    if shortcut is not None and shortcut.dtype != x.dtype:
        return False
    learns = torch.is_grad_enabled() and (norm.weight.requires_grad or norm.bias.requires_grad)
    return norm.training or not learns
