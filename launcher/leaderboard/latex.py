"""The leaderboard for a paper: booktabs tables, the best of each section in bold."""

import re
from collections.abc import Sequence

from launcher.leaderboard.collect import Collection
from launcher.leaderboard.rank import Entry, Section, rank
from launcher.leaderboard.reference import REFERENCE_COLUMNS, Reference, reference_lines, reference_title
from launcher.leaderboard.rows import Table
from launcher.leaderboard.words import cells, class_columns, class_lines, footnotes, headers, title

PREAMBLE = r"% \usepackage{booktabs,graphicx}"

LEFT = ("method", "protocol", "notes")
"""Columns of words; all others are set to the right."""

SPECIAL = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "→": r"$\to$",
    "…": r"\dots{}",
}


def latex(tables: Sequence[Table], found: Collection, *, per_class: bool) -> str:
    """A table for each data name; problems, and footnotes for who writes, are comments."""
    parts = [part for table in tables for part in _table(table, per_class)]
    problems = [f"% {line}" for problem in found.problems for line in problem.splitlines()]
    return "\n".join([PREAMBLE, *parts, *problems]) + "\n"


def latex_references(references: Sequence[Reference]) -> str:
    """Published rows, one table for each data name."""
    return "".join(
        _floating(reference_title(each), REFERENCE_COLUMNS, [_escaped(reference_lines(each))]) + "\n"
        for each in references
    )


def _table(table: Table, per_class: bool) -> list[str]:
    sections = rank(table)
    columns = headers(table, sections)
    kept = _kept(columns, sections)
    lines = [[_line(entry, section, sections, kept) for entry in section.entries] for section in sections]
    parts = [_floating(title(table, sections), [columns[place] for place in kept], lines)]
    if per_class:
        heads, scores = ["method", *class_columns(table)], _escaped(class_lines(table, sections))
        parts.append(_floating(f"{table.data}: IoU in %", heads, [scores], turned=True))
    notes = footnotes(table, sections, per_class=per_class)
    return [*parts, *(f"% {line}" for note in notes for line in note.splitlines())]


def _kept(columns: Sequence[str], sections: Sequence[Section]) -> list[int]:
    """Places of the columns that a paper needs: ranks are told by bold, and there may be no notes."""
    noted = any(entry.marks for section in sections for entry in section.entries)
    left_out = {"rank", *([] if noted else ["notes"])}
    return [place for place, column in enumerate(columns) if column not in left_out]


def _line(entry: Entry, section: Section, sections: Sequence[Section], kept: Sequence[int]) -> list[str]:
    told = cells(entry, section, sections)
    line = [escape(told[place]) for place in kept]
    return [rf"\textbf{{{cell}}}" if cell else "" for cell in line] if entry.rank == 1 else line


def _floating(
    caption: str, columns: Sequence[str], parts: Sequence[Sequence[Sequence[str]]], turned: bool = False
) -> str:
    """A `table`; parts are set apart by rules, and with `turned` the headings but the first stand upright."""
    heads = [escape(column) for column in columns]
    if turned:
        heads = [heads[0], *(rf"\rotatebox{{90}}{{{head}}}" for head in heads[1:])]
    rows = [line for lines in parts for line in [r"\midrule", *map(_row, lines)]]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape(caption)}}}",
            rf"  \begin{{tabular}}{{{''.join('l' if column in LEFT else 'r' for column in columns)}}}",
            *(f"  {line}" for line in [r"\toprule", _row(heads), *rows, r"\bottomrule"]),
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _escaped(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[escape(cell) for cell in line] for line in lines]


def _row(line: Sequence[str]) -> str:
    return " & ".join(line) + r" \\"


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return re.sub("|".join(map(re.escape, SPECIAL)), lambda found: SPECIAL[found[0]], text)
