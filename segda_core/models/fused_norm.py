"""Batch norm with what follows it, as kernels of its own for a GPU.

A norm moves memory and computes next to nothing, so what counts is how often each tensor is read and written:

    forward    x -> sums of each channel;  x, shortcut -> y = relu(norm(x) + shortcut)
    backward   gradients of y, x, y -> their sum g where y > 0, sums of g and g x;  g, x -> gradient of x

y is returned twice, for the branch and the shortcut of the block behind: their gradients come apart, and are
added up where they are read anyway. Formulas: Ioffe & Szegedy 2015 (arXiv 1502.03167). Sums are taken in
float32, in an order that is the same in every run.
"""

from typing import Any

import torch
import triton
from torch import Tensor, nn

from segda_core.kernels.batch_norm import (
    backward_kernel,
    backward_means_kernel,
    backward_sums_kernel,
    forward_kernel,
    statistics_kernel,
    sums_kernel,
)

TILE = 4096
"""Numbers of one tensor that a program reads at once."""
CHANNELS = 128
"""Adjacent channels that it reads, at most."""
TURNS = 7
"""Tiles that a program sums before it writes, where that leaves enough programs."""
PROGRAMS = (264, 1056)
"""That share a sum: at least two and at most eight for each of an H100's multiprocessors."""

TOTALS = {"P": 64, "C": 16}
"""Parts of a sum, and channels, that a program adds up at once."""


class Grid:
    """How rows (batch x height x width) and channels of a channels-last tensor are shared among programs."""

    def __init__(self, x: Tensor) -> None:
        self.channels = x.shape[1]
        self.rows = x.numel() // self.channels
        width = min(CHANNELS, triton.next_power_of_2(self.channels))
        height = TILE // width
        columns = triton.cdiv(self.channels, width)
        least, most = (triton.cdiv(programs, columns) for programs in PROGRAMS)
        parts = min(max(triton.cdiv(self.rows, TURNS * height), least), most)
        self.rows_each = height * triton.cdiv(self.rows, parts * height)
        self.parts = triton.cdiv(self.rows, self.rows_each)
        self.tile = {"R": height, "C": width}
        self.over_parts = (self.parts, columns)
        self.over_tiles = (triton.cdiv(self.rows, height), columns)
        self.over_channels = (triton.cdiv(self.channels, TOTALS["C"]),)


class NormReLU(torch.autograd.Function):
    """See the module; tensors (batch, channels, height, width) are channels-last, statistics float32."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shortcut: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        norm: nn.BatchNorm2d,
        relu: bool,
    ) -> tuple[Tensor, Tensor]:
        """y, and the same y again."""
        grid, y, fixed = Grid(x), torch.empty_like(x), is_fixed(norm)
        mean, spread = (norm.running_mean, norm.running_var) if fixed else statistics(x, grid, norm)
        adds = shortcut is not None
        forward_kernel[grid.over_tiles](
            x, shortcut if adds else x, weight, bias, mean, spread, y, grid.rows, grid.channels, norm.eps,
            FIXED=fixed, ADDS=adds, RELU=relu, **grid.tile,
        )  # fmt: skip
        by_y = relu and (adds or fixed)
        ctx.save_for_backward(None if fixed else x, y if by_y else None, weight, bias, mean, spread)
        ctx.options = (norm.eps, adds, {"FIXED": fixed, "RELU": relu, "BY_Y": by_y})
        ctx.set_materialize_grads(False)
        return y, y.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, first: Tensor | None, second: Tensor | None) -> tuple[Tensor | None, ...]:
        """Of x and the shortcut; of weight and bias where the statistics are the batch's."""
        x, y, *of_channels = ctx.saved_tensors
        eps, adds, options = ctx.options
        if first is None:
            first, second = second, None
        if first is None:
            return (None,) * 6
        two = second is not None
        first = first.contiguous(memory_format=torch.channels_last)
        second = first if second is None else second.contiguous(memory_format=torch.channels_last)
        grid, gradient = Grid(first), torch.empty_like(first)
        options = {**options, "TWO": two, "KEEPS": adds or (two and not options["FIXED"])}
        g = torch.empty_like(first) if options["KEEPS"] else first
        inputs = (first, second, first if x is None else x, first if y is None else y)
        means, of_weight, of_bias = first, None, None
        if not options["FIXED"]:
            sums = of_channels[0].new_empty((2, grid.parts, grid.channels))
            means, (of_weight, of_bias) = (of_channels[0].new_empty((2, grid.channels)) for _ in range(2))
            summing = {name: value for name, value in options.items() if name != "FIXED"}
            backward_sums_kernel[grid.over_parts](
                *inputs, *of_channels, g, sums, grid.rows, grid.channels, grid.rows_each,
                **summing, **grid.tile,
            )  # fmt: skip
            backward_means_kernel[grid.over_channels](
                sums, grid.parts, means, of_bias, of_weight, grid.rows, grid.channels, **TOTALS
            )
            if options["KEEPS"]:  # g is added up and has its zeros
                inputs = (g, g, x, x)
                options |= {"TWO": False, "RELU": False, "BY_Y": False, "KEEPS": False}
        backward_kernel[grid.over_tiles](
            *inputs, *of_channels, means, g, gradient, grid.rows, grid.channels, eps, **options, **grid.tile
        )
        return gradient, g if adds else None, of_weight, of_bias, None, None


def is_fixed(norm: nn.BatchNorm2d) -> bool:
    """Whether the layer normalises by its running statistics, as torch decides it."""
    return not norm.training and norm.running_mean is not None


def statistics(x: Tensor, grid: Grid, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation of each channel, float32; the layer's running statistics follow."""
    sums = x.new_empty((2, grid.parts, grid.channels), dtype=torch.float32)
    mean, inverse = x.new_empty((2, grid.channels), dtype=torch.float32)
    moves = norm.training and norm.track_running_stats
    running: tuple[Any, ...] = (mean,) * 3
    if moves:
        running = (norm.running_mean, norm.running_var, norm.num_batches_tracked)
    sums_kernel[grid.over_parts](x, sums, grid.rows, grid.channels, grid.rows_each, **grid.tile)
    statistics_kernel[grid.over_channels](
        x, sums, grid.parts, mean, inverse, *running, grid.rows, grid.channels, norm.momentum, norm.eps,
        MOVES=moves, **TOTALS,
    )  # fmt: skip
    if moves:
        torch.autograd.graph.increment_version(running)
    return mean, inverse
