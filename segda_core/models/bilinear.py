"""Bilinear interpolation as two products, for GPUs.

There `functional.interpolate` goes back with atomic additions: slow, and in another order every time.
"""

import torch
from torch import Tensor
from torch.nn import functional


def bilinear(maps: Tensor, size: tuple[int, int] | torch.Size, *, align_corners: bool) -> Tensor:
    """Maps (batch, channels, h, w) float32 at another (height, width), channels-last.

    Of finite maps what `interpolate` gives, but for rounding; matrix products in float32, backwards too.
    """
    batch, channels, height, width = maps.shape
    down = interpolation_weights(height, size[0], align_corners, maps.device)
    across = interpolation_weights(width, size[1], align_corners, maps.device)
    with torch.autocast(maps.device.type, enabled=False):
        wide = across @ maps.permute(0, 2, 3, 1)  # (batch, height, new width, channels)
        large = down @ wide.reshape(batch, height, size[1] * channels)
    return large.view(batch, size[0], size[1], channels).permute(0, 3, 1, 2)


def interpolation_weights(inputs: int, outputs: int, align_corners: bool, device: torch.device) -> Tensor:
    """(outputs, inputs) float32: what `interpolate` gives each output of each input, along one side."""
    identity = torch.eye(inputs, device=device)[None, None]
    size = (outputs, inputs)
    return functional.interpolate(identity, size=size, mode="bilinear", align_corners=align_corners)[0, 0]
