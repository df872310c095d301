"""Chance draws a street's plan: camera, lanes, kerbs, side street, and which rare things are due."""

import random
from dataclasses import dataclass
from typing import Protocol

from segda_core.data.streets.draw import Canvas, Colour
from segda_core.data.streets.geometry import Caster, View
from segda_core.data.streets.layout import Ground, Layout, Side
from segda_core.data.streets.style import Look, Range

TURNS = {
    "tram": 8,
    "bus": 8,
    "truck": 7,
    "motorcycle": 5,
    "motorcyclist": 7,
    "cyclist": 4,
    "wall": 4,
    "fence": 4,
    "verge": 3,
}
"""Every n-th picture surely has one, so that the rare classes keep their share in every split."""


class Thing(Protocol):
    """Whatever stands or moves in a street."""

    @property
    def depth(self) -> float:
        """Distance that orders painting."""

    def caster(self) -> Caster:
        """What casts its shadow."""

    def paint(self, canvas: Canvas) -> None:
        """Paint it."""


@dataclass(frozen=True)
class Plan:
    """What one street's things are chosen from."""

    look: Look
    chance: random.Random
    layout: Layout
    ground: Ground
    due: frozenset[str]
    """Names of `TURNS` that this picture must have."""

    def draw(self, span: Range) -> float:
        """A number of the range."""
        return self.chance.uniform(*span)

    def tinted(self, colours: tuple[Colour, ...], spread: float = 10.0) -> Colour:
        """One of the colours, slightly off."""
        red, green, blue = self.chance.choice(colours)
        shift = self.chance.uniform(-spread, spread)
        return red + shift, green + shift, blue + shift

    def blocked(self, z: float, margin: float = 1.0) -> bool:
        """Whether a side street opens there."""
        crossing = self.layout.crossing
        return crossing is not None and crossing[0] - margin < z < crossing[1] + margin


def make_plan(look: Look, index: int, chance: random.Random) -> Plan:
    """The plan of street number `index` of a domain."""
    due = frozenset(name for turn, (name, every) in enumerate(TURNS.items()) if (index + turn) % every == 0)
    ground = Ground(
        asphalt=chance.choice(look.asphalt),
        paving=chance.choice(look.paving),
        kerb=look.kerb,
        grass=chance.choice(look.grass),
        marking=look.marking,
        centre_line=look.centre_line,
        grain=look.ground_grain,
    )
    return Plan(look, chance, _layout(look, due, chance), ground, due)


def make_view(look: Look, chance: random.Random) -> View:
    """The camera of one picture."""
    return View(
        focal=chance.uniform(*look.focal),
        height=chance.uniform(*look.camera_height),
        horizon=chance.uniform(*look.horizon),
        x=chance.uniform(-0.4, 0.4),
        yaw=chance.uniform(-look.yaw, look.yaw),
        roll=chance.uniform(-look.roll, look.roll),
        bend=chance.uniform(-look.bend, look.bend),
    )


def _layout(look: Look, due: frozenset[str], chance: random.Random) -> Layout:
    width, ahead = chance.uniform(*look.lane_width), chance.choice(look.lanes)
    oncoming = 0 if chance.random() < 0.12 else chance.choice(look.lanes)
    own = chance.randrange(ahead)
    centre = -(own + 0.5) * width
    median = 3.4 if "tram" in due else 0.0
    lanes = [(centre - median - (number + 0.5) * width, -1) for number in reversed(range(oncoming))]
    lanes += [(centre + (number + 0.5) * width, 1) for number in range(ahead)]
    parking = [2.2 if chance.random() < look.parking else 0.4 for _ in range(2)]
    left = _side(look, -1, centre - median - oncoming * width - parking[0], due, chance)
    right = _side(look, 1, centre + ahead * width + parking[1], due, chance)
    near = chance.uniform(13, 34)
    return Layout(
        lanes=tuple(lanes),
        lane_width=width,
        centre=centre,
        sides=(left, right),
        crossing=(near, near + chance.uniform(7, 11)) if chance.random() < look.crossing else None,
        zebra=chance.random() < 0.75,
        tracks=centre - median / 2 if median else None,
        double_line=look.double_line and median == 0,
    )


def _side(look: Look, side: int, kerb: float, due: frozenset[str], chance: random.Random) -> Side:
    kind = chance.choice(look.sides)
    verge = chance.uniform(1.0, 2.4) if chance.random() < 0.15 or ("verge" in due and side > 0) else 0.0
    setback = chance.uniform(4, 8) if kind == "suburb" else chance.uniform(*look.facade)
    return Side(side, kerb, verge, chance.uniform(*look.sidewalk), setback, kind)
