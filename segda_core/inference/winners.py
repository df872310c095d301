"""Which class wins at each pixel of the label; on CPUs only classes that can win there are interpolated.

Interpolation is a mean with weights >= 0, so within a block of pixels a class stays between the lowest and
the highest of the few scores it is made of. Measured from the best class of each place, one class alone can
win in most blocks, and two or three in the others.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from segda_core.inference.upsampling import Layer, Taps, classes_of, lowest_of_highest, summed_bands

ROUNDING = 2.0**-18
"""Share of the largest score by which a class must be behind to be out. Interpolation in float32 is off by
4 units of 2**-24, the difference of two classes by 8, that of their bounds by 10 more, and each further layer
adds 6: enough for 8 layers; the presets have at most 6."""

UNDECIDED = 255
"""In a map of train ids: none is known to lead."""

FEW = (0, 2, 4, 19)
"""Blocks are taken together by their number of contenders: up to 2, up to 4, all others."""

BLOCK_SIDE = 8
"""Most label rows and columns of a block."""

BLOCKS_AT_ONCE = 4096
"""Whose contenders are looked for together: 1.2 MB of scores at four corners."""

VALUES_AT_ONCE = 1 << 18
"""Scores interpolated together: 1 MB, which a core's cache holds."""

WORTH_SEARCHING = 8
"""Pixels of a block from which on the bounds cost less than they save."""


def classes_at_label_size(layers: Sequence[Layer]) -> Tensor:
    """Train ids (batch, height, width) uint8 of the highest sum over the layers."""
    scores, (height, width) = layers[0].scores, layers[0].size
    pixels = height * width / scores[0, 0].numel()
    if scores.device.type == "cpu" and pixels >= WORTH_SEARCHING:
        return torch.stack([Winners(layers, image).classes() for image in range(len(scores))])
    return torch.cat([classes_of(total) for total in summed_bands(layers)], dim=1)


class Blocks(NamedTuple):
    """Runs of label rows (or columns): those that lie between the same two inputs of the first layer."""

    of_output: Tensor
    """The block of each label row."""
    outputs: Tensor
    """(most, blocks): its rows, the last one again where it has fewer."""


class Windows(NamedTuple):
    """What the rows of each block are made of in one layer."""

    inputs: Tensor
    """(most, blocks): the layer's rows, the last one again where they are fewer."""
    weights: Tensor
    """(most inputs, most outputs, blocks): of each input in each output; zero for most."""


def blocks_of(taps: Taps, inputs: int) -> Blocks:
    """Long runs are cut, so that blocks differ little in size."""
    size = len(taps.first)
    number = torch.arange(size)
    changed = torch.ones(size, dtype=torch.bool)
    changed[1:] = taps.first.diff() != 0
    run_start = torch.where(changed, number, 0).cummax(dim=0).values
    begins = (number - run_start) % min(BLOCK_SIDE, -(-size // inputs)) == 0
    start = begins.nonzero().flatten()
    last = torch.cat([start[1:], torch.tensor([size])]) - 1
    within = torch.arange(int((last - start).max()) + 1)[:, None]
    return Blocks(begins.cumsum(dim=0) - 1, torch.minimum(start + within, last))


def windows_of(taps: Taps, blocks: Blocks) -> Windows:
    """Inputs rise or, mirrored, fall along a block."""
    edges = blocks.outputs[[0, -1]]
    first, last = taps.first[edges].amin(dim=0), taps.second[edges].amax(dim=0)
    inputs = first + torch.arange(int((last - first).max()) + 1)[:, None]
    own = inputs[:, None]
    weights = torch.where(own == taps.second[blocks.outputs], taps.second_weight[blocks.outputs], 0.0)
    weights = torch.where(own == taps.first[blocks.outputs], taps.first_weight[blocks.outputs], weights)
    return Windows(torch.minimum(inputs, last), weights)


class Source(NamedTuple):
    """One layer of one image."""

    scores: Tensor
    """(19, height, width)."""
    down: Windows
    across: Windows
    rounding: Tensor
    """The lead that rounding cannot turn round."""

    def places(self, row: Tensor, column: Tensor) -> Tensor:
        """(window rows, window columns, blocks): what blocks are made of, in flattened (height, width)."""
        rows, columns = self.down.inputs[:, row], self.across.inputs[:, column]
        return (rows * self.scores.shape[2])[:, None] + columns

    def leaders(self) -> Tensor:
        """(rows, columns of blocks): the class that leads wherever the block's pixels come from."""
        leaders = leaders_of(self.scores, self.rounding)
        most, least = (over_windows(leaders, self, extreme) for extreme in (torch.maximum, torch.minimum))
        return torch.where(most == least, most, UNDECIDED)

    def bounds(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """The most and the least (19, blocks) that classes can be behind the best in these blocks, <= 0."""
        places = self.places(row, column).flatten(0, 1)
        window = self.scores.flatten(1).gather(1, places.view(1, -1).expand(len(self.scores), -1))
        behind = window.view(len(self.scores), *places.shape)
        behind -= behind.amax(dim=0)
        return behind.amin(dim=1), behind.amax(dim=1)

    def upsampled(self, row: Tensor, column: Tensor, classes: Tensor) -> Tensor:
        """Scores (classes, rows, columns, blocks) at label size of some `classes` (number, blocks)."""
        places = self.places(row, column)
        window = self.scores.take(classes[:, None, None] * self.scores[0].numel() + places)
        blended = weighted(window[:, :, :, None].unbind(2), self.across.weights.index_select(2, column))
        return weighted(blended[:, :, None].unbind(1), self.down.weights.index_select(2, row)[:, :, None])


class Winners:
    """The layers of one image, cut into blocks."""

    def __init__(self, layers: Sequence[Layer], image: int) -> None:
        height, width = layers[0].scores.shape[2:]
        self.rows = blocks_of(layers[0].rows, height)
        self.columns = blocks_of(layers[0].columns, width)
        self.pixels = len(self.rows.outputs) * len(self.columns.outputs)
        self.sources = [
            Source(
                layer.scores[image],
                windows_of(layer.rows, self.rows),
                windows_of(layer.columns, self.columns),
                ROUNDING * torch.stack(layer.scores[image].aminmax()).abs().amax(),
            )
            for layer in layers
        ]

    def classes(self) -> Tensor:
        """Train ids (height, width) uint8 of the highest sum over the layers."""
        leaders = self.leaders()
        classes = leaders.index_select(1, self.columns.of_output).index_select(0, self.rows.of_output)
        for blocks in torch.split((leaders == UNDECIDED).nonzero(), BLOCKS_AT_ONCE):
            row, column = blocks.unbind(1)
            can_win = self.can_win(row, column)
            count = can_win.sum(dim=0)
            for below, most in pairwise(FEW):
                some = ((count > below) & (count <= most)).nonzero().flatten()
                at_once = max(1, VALUES_AT_ONCE // (most * self.pixels))
                for part in torch.split(some, at_once) if len(some) else ():
                    self._decide(classes, row[part], column[part], first_set(can_win[:, part], most))
        return classes

    def leaders(self) -> Tensor:
        """(rows, columns of blocks): the class that leads in all layers."""
        leaders, *further = (source.leaders() for source in self.sources)
        for own in further:
            leaders = torch.where(leaders == own, own, UNDECIDED)
        return leaders

    def can_win(self, row: Tensor, column: Tensor) -> Tensor:
        """(19, blocks): may this class be the highest somewhere in the block?"""
        bounds = [source.bounds(row, column) for source in self.sources]
        lowest, highest = (reduce(torch.add, parts) for parts in zip(*bounds, strict=True))
        rounding = reduce(torch.add, (source.rounding for source in self.sources))
        bar = lowest.amax(dim=0) - rounding
        return torch.logical_not(highest < bar)  # where there is NaN, all may

    def _decide(self, classes: Tensor, row: Tensor, column: Tensor, contenders: Tensor) -> None:
        """Interpolate the contenders (number, blocks) of some blocks and write the winners."""
        total = reduce(torch.add, (source.upsampled(row, column, contenders) for source in self.sources))
        winners = lowest_of_highest(total, contenders[:, None, None])
        y, x = self.rows.outputs[:, row], self.columns.outputs[:, column]
        places = (y * classes.shape[1])[:, None] + x
        classes.view(-1).scatter_(0, places.flatten(), winners.flatten())


def leaders_of(scores: Tensor, rounding: Tensor) -> Tensor:
    """(height, width): the highest of (19, height, width), where it leads by more than `rounding`."""
    ids = torch.arange(len(scores))[:, None, None]
    leaders = lowest_of_highest(scores, ids)
    others = scores.scatter(0, leaders[None].long(), -torch.inf)
    clear = scores.amax(dim=0) - others.amax(dim=0) > rounding
    return torch.where(clear, leaders, UNDECIDED)


def over_windows(inputs: Tensor, source: Source, extreme: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(rows, columns of blocks): the extreme of (height, width) over each block's window."""
    for dim, windows in enumerate((source.down, source.across)):
        inputs = reduce(extreme, (inputs.index_select(dim, place) for place in windows.inputs))
    return inputs


def first_set(flags: Tensor, most: int) -> Tensor:
    """(most, blocks): the set ones of (19, blocks) in order; where they are fewer, then the first again."""
    found = flags.cumsum(dim=0)
    places = torch.stack([(found <= number).sum(dim=0) for number in range(most)])
    return torch.where(places < len(flags), places, places[0])


def weighted(parts: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Sum of parts times weights, rounded as `interpolate` does on CPUs: products of zero change nothing."""
    total = parts[-1] * weights[-1]
    for part, weight in zip(reversed(parts[:-1]), weights[:-1].flip(0), strict=True):
        total = torch.addcmul(total, part, weight)
    return total
