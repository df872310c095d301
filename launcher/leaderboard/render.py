"""The leaderboard for people: a table on the terminal and in Markdown."""

import re
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from launcher.leaderboard.collect import Collection
from launcher.leaderboard.rank import Entry, Section, rank
from launcher.leaderboard.reference import REFERENCE_COLUMNS, Reference, reference_lines, reference_title
from launcher.leaderboard.rows import Table
from launcher.leaderboard.words import (
    cells,
    class_columns,
    class_lines,
    footnotes,
    headers,
    title,
)

NUMBERS = ("rank", "target images", "target labels", "mIoU", "seeds")
"""Columns set to the right and never broken."""

REFERENCE_NUMBERS = ("target images", "steps", "mIoU")

GAP = 2
"""Characters between two columns on the terminal."""

CLASS_WIDTH = 11
"""Characters a column of one class takes on the terminal."""


def print_tables(tables: Sequence[Table], found: Collection, console: Console, *, per_class: bool) -> None:
    """Every table with its footnotes, then what could not be read."""
    for table in tables:
        sections = rank(table)
        console.print(Text(title(table, sections), style="bold"))
        console.print(_grid(table, sections, console.width))
        if per_class:
            _print_classes(table, sections, console)
        for note in footnotes(table, sections, per_class=per_class):
            console.print(Text(note, style="dim"))
        console.print()
    for problem in found.problems:
        console.print(Text(problem, style="red"), soft_wrap=True)
    if not tables:
        console.print(nothing_found(found))


def markdown(tables: Sequence[Table], found: Collection, *, per_class: bool) -> str:
    """The same as Markdown."""
    blocks = [block for table in tables for block in _markdown_blocks(table, per_class)]
    if found.problems:
        blocks.append("\n".join(["Problems:", "", *(f"- {_escape(problem)}" for problem in found.problems)]))
    return "\n\n".join(blocks or [nothing_found(found)]) + "\n"


def nothing_found(found: Collection) -> str:
    """Why there is no table."""
    return "No trial of it trains a segmenter: nothing to rank." if found.unranked else "No trials yet."


def print_references(references: Sequence[Reference], console: Console) -> None:
    """Published rows, one table for each data name."""
    for reference in references:
        grid = Grid(box=box.SIMPLE_HEAD)
        for header in REFERENCE_COLUMNS:
            grid.add_column(header, justify="right" if header in REFERENCE_NUMBERS else "left")
        for line in reference_lines(reference):
            grid.add_row(*(Text(cell) for cell in line))
        console.print(Text(reference_title(reference), style="bold"))
        console.print(grid)
    if not references:
        console.print("No published numbers on these data.")


def markdown_references(references: Sequence[Reference]) -> str:
    """The same as Markdown."""
    blocks = [
        f"**{_escape(reference_title(reference))}**\n\n"
        + _markdown_table(REFERENCE_COLUMNS, reference_lines(reference), REFERENCE_NUMBERS)
        for reference in references
    ]
    return "\n\n".join(blocks or ["No published numbers on these data."]) + "\n"


def _grid(table: Table, sections: Sequence[Section], width: int) -> Grid:
    """Numbers are never broken; words where `width` leaves no other way, the longest first."""
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    lines = [[cells(entry, section, sections) for entry in section.entries] for section in sections]
    columns = headers(table, sections)
    for header, own_width in zip(columns, _widths(columns, lines, width), strict=True):
        if header in NUMBERS:
            grid.add_column(header.replace(" ", "\n"), justify="right", no_wrap=True, width=own_width)
        else:
            grid.add_column(header, overflow="fold", width=own_width)
    for section, own in zip(sections, lines, strict=True):
        for entry, line in zip(section.entries, own, strict=True):
            grid.add_row(*(Text(cell) for cell in line), style=_style(entry))
        grid.add_section()
    return grid


def _widths(columns: Sequence[str], lines: Sequence[Sequence[Sequence[str]]], width: int) -> list[int]:
    """Characters for each column, so that together they fit into `width`."""
    room = width - GAP * (len(columns) - 1)
    whole, words, numbers = [], [], []
    for number, header in enumerate(columns):
        column = [line[number] for own in lines for line in own]
        is_number = header in NUMBERS
        whole.append(_longest([*column, *(header.split() if is_number else [header])]))
        words.append(whole[-1] if is_number else _longest(" ".join([*column, header]).split()))
        numbers.append(whole[-1] if is_number else 1)
    return _narrowed(whole, _narrowed(words, numbers, room), room)


def _longest(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=0)


def _narrowed(wanted: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths as wanted, the widest made narrower until all fit, but none narrower than its least."""
    for most in range(max(wanted), 0, -1):
        widths = [max(low, min(high, most)) for high, low in zip(wanted, least, strict=True)]
        if sum(widths) <= room:
            break
    return widths


def _style(entry: Entry) -> str:
    if entry.rank == 1:
        return "bold green"
    return "" if entry.rank else "dim"


def _print_classes(table: Table, sections: Sequence[Section], console: Console) -> None:
    """IoU per class, as many classes side by side as the terminal holds."""
    lines = class_lines(table, sections)
    width = max((len(line[0]) for line in lines), default=0)
    count = max(1, (console.width - width) // CLASS_WIDTH)
    columns = class_columns(table)
    for start in range(0, len(columns) if lines else 0, count):
        grid = Grid("IoU", box=box.SIMPLE_HEAD)
        for column in columns[start : start + count]:
            grid.add_column(column, justify="right")
        for label, *scores in lines:
            grid.add_row(Text(label), *scores[start : start + count])
        console.print(grid)


def _markdown_blocks(table: Table, per_class: bool) -> list[str]:
    sections = rank(table)
    entries = [(section, entry) for section in sections for entry in section.entries]
    lines = [cells(entry, section, sections) for section, entry in entries]
    best = [entry.rank == 1 for _, entry in entries]
    columns = headers(table, sections)
    blocks = [f"**{_escape(title(table, sections))}**", _markdown_table(columns, lines, NUMBERS, best)]
    if per_class:
        shown = class_columns(table)
        blocks.append(_markdown_table(["IoU", *shown], class_lines(table, sections), shown))
    notes = footnotes(table, sections, per_class=per_class)
    return [*blocks, "\n".join(f"- {_escape(note)}" for note in notes)]


def _markdown_table(
    columns: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[str], bold: Sequence[bool] = ()
) -> str:
    """`bold` says of each line whether it is; none is where nothing is said."""
    told = [[_escape(cell) for cell in line] for line in lines]
    for number in (number for number, is_bold in enumerate(bold) if is_bold):
        told[number] = [f"**{cell}**" if cell else cell for cell in told[number]]
    rule = ["---:" if column in right else ":---" for column in columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in [[*map(_escape, columns)], rule, *told])


def _escape(cell: str) -> str:
    return re.sub(r"[\\`*_<|]", r"\\\g<0>", cell.replace("\n", " "))
