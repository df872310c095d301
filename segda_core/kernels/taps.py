"""The sum of what dilated convolutions' taps give, each shifted to its place, and the way back.

`segda_core.models.fused_taps` starts them, with N pixels and C numbers of each at a time.
"""

import triton
import triton.language as tl


@triton.jit
def gather_kernel(
    products, offsets, total, height, width, pixels, taps, stride, classes, N: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """total[y, x] = sum over taps of products[y + down, x + right, tap], where that is within the image."""
    pixel = tl.program_id(0) * N + tl.arange(0, N)
    of_class = tl.arange(0, C)
    row, column = (pixel // width) % height, pixel % width
    value = tl.zeros((N, C), tl.float32)
    for tap in range(taps):
        down, right = tl.load(offsets + 2 * tap), tl.load(offsets + 2 * tap + 1)
        inside = (row + down >= 0) & (row + down < height) & (column + right >= 0) & (column + right < width)
        inside = (inside & (pixel < pixels))[:, None] & (of_class < classes)[None, :]
        place = (pixel + down * width + right).to(tl.int64)[:, None] * stride
        place += tap * classes + of_class[None, :]
        value += tl.load(products + place, mask=inside, other=0.0).to(tl.float32)
    there = (pixel < pixels)[:, None] & (of_class < classes)[None, :]
    tl.store(total + pixel.to(tl.int64)[:, None] * classes + of_class[None, :], value, mask=there)


@triton.jit
def scatter_kernel(
    gradient, offsets, products, height, width, pixels, taps, stride, classes,
    N: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """The gradient of `products`: each tap's that of the pixel which added it."""
    pixel = tl.program_id(0) * N + tl.arange(0, N)
    number = tl.program_id(1) * C + tl.arange(0, C)
    tap, of_class = number // classes, number % classes
    used = tap < taps
    down = tl.load(offsets + 2 * tap, mask=used, other=0)[None, :]
    right = tl.load(offsets + 2 * tap + 1, mask=used, other=0)[None, :]
    row, column = ((pixel // width) % height)[:, None] - down, (pixel % width)[:, None] - right
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    inside = inside & (pixel < pixels)[:, None] & used[None, :]
    place = (pixel[:, None] - down * width - right).to(tl.int64) * classes + of_class[None, :]
    value = tl.load(gradient + place, mask=inside, other=0.0)
    there = (pixel < pixels)[:, None] & (number < stride)[None, :]
    tl.store(products + pixel.to(tl.int64)[:, None] * stride + number[None, :], value, mask=there)
