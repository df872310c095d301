"""What lines a street: buildings, walls and fences."""

import random
from dataclasses import dataclass
from typing import Literal

from segda_core.data.streets.draw import BUILDING, WALL, Canvas, Colour, dimmed, tinted
from segda_core.data.streets.geometry import Box, Caster, Frame, Shape, patch

BarrierStyle = Literal["solid", "bars", "rail"]

AWNINGS: tuple[Colour, ...] = ((150, 40, 40), (40, 90, 60), (40, 60, 120), (190, 150, 60))


@dataclass(frozen=True)
class Building:
    """A block beside the street; `side` is -1 on the left, 1 on the right."""

    side: int
    x: float
    """Metres from the camera's lane to the facade."""
    start: float
    length: float
    height: float
    colour: Colour
    trim: Colour
    roof: Colour | None
    """Colour of a pitched roof; None is a flat one."""
    storey: float
    """Metres from floor to floor."""
    window: tuple[float, float]
    """Shares of a storey's bay that a window takes: width, height."""
    seed: int

    @property
    def depth(self) -> float:
        """Distance that orders painting: things in the street before its far end are nearer."""
        return self.start + self.length

    def caster(self) -> Caster:
        """What casts its shadow."""
        inner, outer = sorted((self.x, self.x + self.side * 12.0))
        start, end = self.start, self.depth
        return [(inner, 0, end), (outer, 0, end), (outer, 0, start), (inner, 0, start)], 0.0, self.height

    def paint(self, canvas: Canvas) -> None:
        """Facade, the end that looks at the camera, roof."""
        chance = random.Random(self.seed)
        inner, outer = sorted((self.x, self.x + self.side * 18.0))
        box = Box(Frame(0, 0), (inner, 0.0, self.start), (outer, self.height, self.depth))
        facade = box.left if self.side > 0 else box.right
        for wall, width in ((box.rear, 18.0), (facade, self.length)):
            if not canvas.sees(wall):
                continue
            canvas.face(wall, self.colour, BUILDING)
            self._windows(canvas, wall, width, chance)
            canvas.face(patch(wall, 0, 0, 1, 0.5 / self.height), self.trim, BUILDING)
        if self.roof is not None:
            self._pitched_roof(canvas, self.roof, inner, outer)

    def _pitched_roof(self, canvas: Canvas, roof: Colour, inner: float, outer: float) -> None:
        ridge, top, eaves = self.height + 3.6, self.height, 0.4
        middle, edge = (inner + outer) / 2, self.x - self.side * eaves
        near, far = self.start - 0.2, self.depth + 0.2
        canvas.polygon(
            [(inner, top, near), (middle, ridge, near), (outer, top, near)],
            dimmed(self.colour, 0.85),
            BUILDING,
        )
        slope = [
            (edge, top - 0.15, far),
            (middle, ridge, far),
            (middle, ridge, near),
            (edge, top - 0.15, near),
        ]
        canvas.face(slope if self.side > 0 else slope[::-1], roof, BUILDING)

    def _windows(self, canvas: Canvas, wall: Shape, width: float, chance: random.Random) -> None:
        storeys = max(1, round(self.height / self.storey))
        bays = max(1, round(width / (self.storey * 0.85)))
        detail = canvas.view.size(self.storey, max(3.0, min(wall[0][2], wall[1][2])))
        if detail < 11:
            return
        shade = canvas.light.shade(wall)
        trim, glass = tinted(self.trim, shade), tinted((96, 112, 128), shade)
        across, high = self.window[0] / bays / 2, self.window[1] / storeys / 2
        for storey in range(storeys - 1):
            middle = (storey + 0.5) / storeys
            for bay in range(bays):
                centre = (bay + 0.5) / bays
                if detail > 30:
                    rim = patch(
                        wall,
                        centre - across * 1.25,
                        middle - high * 1.15,
                        centre + across * 1.25,
                        middle + high * 1.25,
                    )
                    canvas.polygon(rim, trim, BUILDING)
                pane = patch(wall, centre - across, middle - high, centre + across, middle + high)
                canvas.polygon(pane, dimmed(glass, chance.uniform(0.45, 1.15)), BUILDING)
        self._ground_floor(canvas, patch(wall, 0, 1 - 1 / storeys, 1, 1), bays, chance)

    def _ground_floor(self, canvas: Canvas, wall: Shape, bays: int, chance: random.Random) -> None:
        """Shop windows under awnings, or plain windows, and a door."""
        shops = chance.random() < 0.5
        awning = chance.choice((*AWNINGS, self.trim))
        for bay in range(0, bays, 2):
            left, right = bay / bays, min(1.0, (bay + 2) / bays)
            gap = (right - left) * (0.08 if shops else 0.28)
            glass = dimmed((82, 96, 108), chance.uniform(0.5, 1.1))
            canvas.face(patch(wall, left + gap, 0.25, right - gap, 0.9), glass, BUILDING)
            if shops:
                canvas.face(patch(wall, left + gap / 2, 0.1, right - gap / 2, 0.32), awning, BUILDING)
        door = chance.uniform(0.1, 0.8)
        canvas.face(patch(wall, door, 0.3, door + 0.5 / bays, 1.0), dimmed(self.trim, 0.45), BUILDING)


@dataclass(frozen=True)
class Barrier:
    """One length of wall or fence (`label`) along the street."""

    label: int
    side: int
    x: float
    start: float
    length: float
    height: float
    colour: Colour
    style: BarrierStyle

    @property
    def depth(self) -> float:
        """Distance that orders painting."""
        return self.start + self.length

    def caster(self) -> Caster:
        """What casts its shadow."""
        left, right = self.x - 0.15, self.x + 0.15
        start, end = self.start, self.depth
        return [(left, 0, end), (right, 0, end), (right, 0, start), (left, 0, start)], 0.0, self.height

    def paint(self, canvas: Canvas) -> None:
        """A block with a coping, planks or bars, or a guard rail."""
        low = 0.4 if self.style == "rail" else 0.0
        box = Box(Frame(0, 0), (self.x - 0.12, low, self.start), (self.x + 0.12, self.height, self.depth))
        face = box.left if self.side > 0 else box.right
        canvas.box(box, self.colour, self.label)
        if self.style == "solid":
            canvas.face(patch(face, 0, 0, 1, 0.1), dimmed(self.colour, 1.18), self.label)
            joints = 2 if self.label == WALL else round(self.length * 2.5)
            for joint in range(1, joints):
                canvas.face(
                    patch(face, joint / joints, 0.1, joint / joints + 0.012, 1),
                    dimmed(self.colour, 0.7),
                    self.label,
                )
        elif self.style == "bars":
            canvas.face(patch(face, 0, 0.08, 1, 0.96), (74, 84, 66), self.label)
            for bar in range(round(self.length * 2.5)):
                left = bar / (self.length * 2.5)
                canvas.face(patch(face, left, 0, left + 0.06 / 1.2, 1), self.colour, self.label)
        else:
            canvas.face(patch(face, 0, 0.42, 1, 0.58), dimmed(self.colour, 0.65), self.label)
            for post in (0.0, 0.5):
                foot = face[0][0], 0.0, face[0][2] + post * (face[1][2] - face[0][2])
                canvas.rod(foot, (foot[0], self.height, foot[2]), 0.12, dimmed(self.colour, 0.7), self.label)
