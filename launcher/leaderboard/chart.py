"""Scores over target images, placed for a picture: what the leaderboard's page draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from launcher.leaderboard.disk import Size
from launcher.leaderboard.rank import Section
from launcher.leaderboard.rows import Row
from launcher.leaderboard.words import families, family_name, grows, with_spread

WIDTH, HEIGHT = 760, 360
"""Of a picture, in pixels, as all lengths here."""

LEFT, RIGHT, TOP, BOTTOM = 52, WIDTH - 16, 12, HEIGHT - 44
"""Of the field that the scores lie in."""

MOST_CURVES = 24
"""Where there are more, as in a search, nobody could follow one: no picture is drawn."""

TICKS = 6
"""Scores written at the side, at most."""


@dataclass(frozen=True)
class Tick:
    """A number at the side of the field."""

    at: float
    words: str


@dataclass(frozen=True)
class Mark:
    """A row's mean over seeds, and its spread."""

    x: float
    y: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Curve:
    """Rows that differ by their target images alone."""

    name: str
    number: int
    """Among the curves of the picture, from 0."""
    marks: list[Mark]
    joined: bool

    @property
    def path(self) -> str:
        """The marks' places, as SVG writes them."""
        return " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in self.marks)


@dataclass(frozen=True)
class Chart:
    """One protocol's scores."""

    protocol: str
    sizes: list[Tick]
    scores: list[Tick]
    curves: list[Curve]
    across: list[Curve]
    """One mark each, whose height counts everywhere."""


def charts(sections: Sequence[Section]) -> list[Chart]:
    """A picture for each protocol under which a score at several target sizes can be compared with itself."""
    by_protocol = {
        section.protocol: [each for each in sections if each.protocol == section.protocol]
        for section in sections
    }
    return [
        _chart(protocol, own)
        for protocol, own in by_protocol.items()
        if any(grows(family) for family in families(own)) and len(families(own)) <= MOST_CURVES
    ]


def _chart(protocol: str, sections: Sequence[Section]) -> Chart:
    sizes = [section.size for section in sections]
    found = families(sections)
    flat = {
        id(entry.row): entry.row
        for section in sections
        for entry in section.entries
        if entry.rank and entry.row.size is None
    }
    steps = _steps([row for rows in [*found, flat.values()] for row in rows])
    field = _Field(sizes, steps[0], steps[-1])
    curves = [
        Curve(family_name(rows), number, [field.mark(row, row.size) for row in rows], joined=grows(rows))
        for number, rows in enumerate(found)
    ]
    across = [
        Curve(family_name([row]), len(found) + number, [field.mark(row, sizes[0])], joined=False)
        for number, row in enumerate(flat.values())
    ]
    return Chart(
        protocol,
        [Tick(field.x(size), str(size)) for size in sizes],
        [Tick(field.y(step), f"{100 * step:g}") for step in steps],
        curves,
        across,
    )


@dataclass(frozen=True)
class _Field:
    """Target sizes stand side by side at equal distances; `low` to `high` is the range of scores."""

    sizes: list[Size]
    low: float
    high: float

    def x(self, size: Size) -> float:
        return LEFT + (self.sizes.index(size) + 0.5) * (RIGHT - LEFT) / len(self.sizes)

    def y(self, score: float) -> float:
        return BOTTOM - (score - self.low) / (self.high - self.low) * (BOTTOM - TOP)

    def mark(self, row: Row, size: Size) -> Mark:
        mean, std = row.mean or 0.0, row.std or 0.0
        return Mark(self.x(size), self.y(mean), self.y(max(0.0, mean - std)), self.y(mean + std), _told(row))


def _told(row: Row) -> str:
    images = "" if row.size is None else f", {row.size} target images"
    return f"{family_name([row])}{images}: {with_spread(row)}"


def _steps(rows: Sequence[Row]) -> list[float]:
    """Round scores from below the lowest to above the highest, spreads included."""
    ends = [(row.mean or 0.0) + sign * (row.std or 0.0) for row in rows for sign in (-1, 1)]
    low, high = max(0.0, min(ends)), max(ends)
    step = _round_step((high - low) / (TICKS - 2))
    first, last = floor(low / step), max(ceil(high / step), floor(low / step) + 1)
    return [number * step for number in range(first, last + 1)]


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, at least as large, and no less than a hundredth of a percent."""
    power = 10.0 ** floor(log10(max(least, 1e-4)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
