"""Batch norm, the sum and the ReLU behind it, and the way back; `segda_core.models.fused_norm` starts them.

Tensors are (rows, channels), R rows and C channels at a time, computed with in float32. A kernel that sums
has `parts` programs along the rows, of which each leaves its own sums, (2, parts, channels): added up later
in one order, they are the same in every run.
"""

import triton
import triton.language as tl


@triton.jit
def tile(first, channel, rows, channels, R: tl.constexpr):
    """Places of R rows from the first one on, of these channels, and which of them there are."""
    row = first + tl.arange(0, R)
    inside = (row < rows)[:, None] & (channel < channels)[None, :]
    return row.to(tl.int64)[:, None] * channels + channel[None, :], inside


@triton.jit
def sums_kernel(x, sums, rows, channels, rows_each, R: tl.constexpr, C: tl.constexpr):
    """Of x and x squared, both less the channel's first x: far from their mean, squares lose their digits."""
    part, parts = tl.program_id(0), tl.num_programs(0)
    channel = tl.program_id(1) * C + tl.arange(0, C)
    there = channel < channels
    origin = tl.load(x + channel, mask=there, other=0.0).to(tl.float32)
    total = tl.zeros((R, C), tl.float32)
    squares = tl.zeros((R, C), tl.float32)
    for first in range(part * rows_each, part * rows_each + rows_each, R):
        place, inside = tile(first, channel, rows, channels, R)
        value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        value = tl.where(inside, value - origin[None, :], 0.0)
        total += value
        squares += value * value
    tl.store(sums + part * channels + channel, tl.sum(total, 0), mask=there)
    tl.store(sums + (parts + part) * channels + channel, tl.sum(squares, 0), mask=there)


@triton.jit
def added_up(sums, parts, channels, channel, there, P: tl.constexpr, C: tl.constexpr):
    """Both kinds of sums over all parts."""
    first_kind = tl.zeros((P, C), tl.float32)
    second_kind = tl.zeros((P, C), tl.float32)
    for first in range(0, parts, P):
        part = first + tl.arange(0, P)
        inside = (part < parts)[:, None] & there[None, :]
        place = part[:, None] * channels + channel[None, :]
        first_kind += tl.load(sums + place, mask=inside, other=0.0)
        second_kind += tl.load(sums + parts * channels + place, mask=inside, other=0.0)
    return tl.sum(first_kind, 0), tl.sum(second_kind, 0)


@triton.jit
def statistics_kernel(
    x, sums, parts, mean, inverse,
    running_mean, running_var, batches, rows, channels, momentum, eps,
    MOVES: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Mean and 1 / standard deviation of `sums_kernel`'s sums; running statistics follow."""
    channel = tl.program_id(0) * C + tl.arange(0, C)
    there = channel < channels
    total, squares = added_up(sums, parts, channels, channel, there, P, C)
    distance = total / rows
    variance = squares / rows - distance * distance
    variance = tl.where(variance < 0.0, 0.0, variance)  # NaN stays
    centre = distance + tl.load(x + channel, mask=there, other=0.0).to(tl.float32)
    tl.store(mean + channel, centre, mask=there)
    tl.store(inverse + channel, 1.0 / tl.sqrt(variance + eps), mask=there)
    if MOVES:
        earlier = tl.load(running_mean + channel, mask=there, other=0.0)
        tl.store(running_mean + channel, earlier + momentum * (centre - earlier), mask=there)
        earlier = tl.load(running_var + channel, mask=there, other=0.0)
        unbiased = variance * (rows / (rows - 1.0))
        tl.store(running_var + channel, earlier + momentum * (unbiased - earlier), mask=there)
        if tl.program_id(0) == 0:
            tl.store(batches, tl.load(batches) + 1)


@triton.jit
def of_channels(weight, bias, mean, spread, eps, channel, there, FIXED: tl.constexpr):
    """Mean, 1 / standard deviation, and the norm as scale and shift; `spread` is the variance where FIXED."""
    centre = tl.load(mean + channel, mask=there, other=0.0)
    inverse = tl.load(spread + channel, mask=there, other=1.0)
    if FIXED:
        inverse = 1.0 / tl.sqrt(inverse + eps)
    scale = inverse * tl.load(weight + channel, mask=there, other=0.0)
    shift = tl.load(bias + channel, mask=there, other=0.0) - centre * scale
    return centre[None, :], inverse[None, :], scale[None, :], shift[None, :]


@triton.jit
def forward_kernel(
    x, shortcut, weight, bias, mean, spread, y, rows, channels, eps,
    FIXED: tl.constexpr, ADDS: tl.constexpr, RELU: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """y = relu(x * scale + shift + shortcut)."""
    channel = tl.program_id(1) * C + tl.arange(0, C)
    there = channel < channels
    place, inside = tile(tl.program_id(0) * R, channel, rows, channels, R)
    _, _, scale, shift = of_channels(weight, bias, mean, spread, eps, channel, there, FIXED)
    value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) * scale + shift
    if ADDS:
        value += tl.load(shortcut + place, mask=inside, other=0.0).to(tl.float32)
    if RELU:
        value = tl.where(value < 0.0, 0.0, value)  # NaN stays
    tl.store(y + place, value, mask=inside)


@triton.jit
def gradient_of_output(
    first, second, x, y, scale, shift, place, inside,
    TWO: tl.constexpr, RELU: tl.constexpr, BY_Y: tl.constexpr,
):  # fmt: skip
    """The sum of y's gradients where y > 0, which x tells too where nothing was added."""
    value = tl.load(first + place, mask=inside, other=0.0).to(tl.float32)
    if TWO:
        value += tl.load(second + place, mask=inside, other=0.0).to(tl.float32)
    if RELU:
        if BY_Y:
            output = tl.load(y + place, mask=inside, other=0.0).to(tl.float32)
        else:
            output = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) * scale + shift
        value = tl.where(output <= 0.0, 0.0, value)
    return value


@triton.jit
def backward_sums_kernel(
    first, second, x, y, weight, bias, mean, inverse, g, sums, rows, channels, rows_each,
    TWO: tl.constexpr, RELU: tl.constexpr, BY_Y: tl.constexpr, KEEPS: tl.constexpr,
    R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Sums of g and of g times the normalised x; g itself where it is needed again."""
    part, parts = tl.program_id(0), tl.num_programs(0)
    channel = tl.program_id(1) * C + tl.arange(0, C)
    there = channel < channels
    centre, factor, scale, shift = of_channels(weight, bias, mean, inverse, 0.0, channel, there, False)
    total = tl.zeros((R, C), tl.float32)
    products = tl.zeros((R, C), tl.float32)
    for start in range(part * rows_each, part * rows_each + rows_each, R):
        place, inside = tile(start, channel, rows, channels, R)
        value = gradient_of_output(first, second, x, y, scale, shift, place, inside, TWO, RELU, BY_Y)
        if KEEPS:
            tl.store(g + place, value, mask=inside)
        total += value
        products += value * (tl.load(x + place, mask=inside, other=0.0).to(tl.float32) - centre)
    tl.store(sums + part * channels + channel, tl.sum(total, 0), mask=there)
    tl.store(sums + (parts + part) * channels + channel, tl.sum(products * factor, 0), mask=there)


@triton.jit
def backward_means_kernel(
    sums, parts, means, bias_gradient, weight_gradient, rows, channels, P: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """Gradients of weight and bias, and both over the number of rows."""
    channel = tl.program_id(0) * C + tl.arange(0, C)
    there = channel < channels
    of_bias, of_weight = added_up(sums, parts, channels, channel, there, P, C)
    tl.store(bias_gradient + channel, of_bias, mask=there)
    tl.store(weight_gradient + channel, of_weight, mask=there)
    tl.store(means + channel, of_bias / rows, mask=there)
    tl.store(means + channels + channel, of_weight / rows, mask=there)


@triton.jit
def backward_kernel(
    first, second, x, y, weight, bias, mean, spread, means, g, gradient, rows, channels, eps,
    FIXED: tl.constexpr, TWO: tl.constexpr, RELU: tl.constexpr, BY_Y: tl.constexpr, KEEPS: tl.constexpr,
    R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """x's gradient: of g less its mean and its share along the normalised x, or of g where FIXED."""
    channel = tl.program_id(1) * C + tl.arange(0, C)
    there = channel < channels
    place, inside = tile(tl.program_id(0) * R, channel, rows, channels, R)
    centre, inverse, scale, shift = of_channels(weight, bias, mean, spread, eps, channel, there, FIXED)
    value = gradient_of_output(first, second, x, y, scale, shift, place, inside, TWO, RELU, BY_Y)
    if KEEPS:
        tl.store(g + place, value, mask=inside)
    if not FIXED:
        normalised = (tl.load(x + place, mask=inside, other=0.0).to(tl.float32) - centre) * inverse
        value -= tl.load(means + channel, mask=there, other=0.0)[None, :]
        value -= normalised * tl.load(means + channels + channel, mask=there, other=0.0)[None, :]
    tl.store(gradient + place, value * scale, mask=inside)
