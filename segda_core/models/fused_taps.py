"""Dilated convolutions to few classes, after their products: shift each tap's and add them up."""

from typing import Any

import torch
import triton
from torch import Tensor

from segda_core.kernels.taps import gather_kernel, scatter_kernel

CELLS = {"N": 64, "C": 32}
"""Pixels, and numbers beside each other, of one program."""


class ShiftedSum(torch.autograd.Function):
    """Products (batch, height, width, at least taps * classes) to their sums (batch, height, width, classes).

    Offsets are (taps, 2) int32, (down, right) of each tap; sums are float32.
    """

    @staticmethod
    def forward(ctx: Any, products: Tensor, offsets: Tensor, classes: int) -> Tensor:
        """See the class."""
        batch, height, width, stride = products.shape
        assert classes <= CELLS["C"]
        total = products.new_empty((batch, height, width, classes), dtype=torch.float32)
        ctx.save_for_backward(offsets)
        ctx.kind = (products.shape, products.dtype, classes)
        pixels = batch * height * width
        gather_kernel[(triton.cdiv(pixels, CELLS["N"]),)](
            products.contiguous(), offsets, total, height, width, pixels, len(offsets), stride, classes,
            **CELLS,
        )  # fmt: skip
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Of the products."""
        (offsets,) = ctx.saved_tensors
        (batch, height, width, stride), dtype, classes = ctx.kind
        products = gradient.new_empty((batch, height, width, stride), dtype=dtype)
        pixels = batch * height * width
        scatter_kernel[(triton.cdiv(pixels, CELLS["N"]), triton.cdiv(stride, CELLS["C"]))](
            gradient.contiguous(), offsets, products, height, width, pixels, len(offsets), stride, classes,
            **CELLS,
        )  # fmt: skip
        return products, None, None
