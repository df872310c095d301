"""A table with a line for each trial, or two where its name and its numbers do not fit beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

GAP = 2
"""Characters between two columns."""


@dataclass(frozen=True)
class TrialTable:
    """Names at the left and numbers below each other; a name too long for its place has the line above."""

    names: Sequence[Text]
    """One for the header, then one for each row of `numbers`."""
    numbers: Table
    """From `numbers_table`."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        numbers_width = Measurement.get(console, options, self.numbers).maximum
        longest = max(name.cell_len for name in self.names)
        room = max(min(longest + GAP, options.max_width - numbers_width), 0)
        lines = console.render_lines(self.numbers, options.update(width=numbers_width))
        for name, line in zip(self.names, lines, strict=True):
            beside = name if name.cell_len + GAP <= room else Text()
            if beside is not name:
                yield name
            yield Text(end="").append(beside).append(" " * (room - beside.cell_len))
            yield from line
            yield Segment.line()


def numbers_table(titles: Sequence[str], header_style: str) -> Table:
    """An empty table whose rows are one line each, set to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style=header_style)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    return table
