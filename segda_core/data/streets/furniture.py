"""Street furniture: lamps and other poles, traffic lights, signs and bins."""

import math
from dataclasses import dataclass
from typing import Literal

from segda_core.data.streets.draw import POLE, STATIC, TRAFFIC_LIGHT, TRAFFIC_SIGN, Canvas, Colour
from segda_core.data.streets.geometry import Box, Caster, Frame, Point, Shape

RED: Colour = (206, 28, 32)
WHITE: Colour = (240, 240, 236)
BLUE: Colour = (28, 78, 178)
YELLOW: Colour = (246, 190, 30)
GREEN: Colour = (22, 112, 70)
BLACK: Colour = (24, 24, 26)

LAMPS: dict[str, Colour] = {"red": (255, 50, 40), "amber": (255, 180, 40), "green": (60, 250, 130)}

SIGNS: dict[str, tuple[tuple[int, float, float, Colour], ...]] = {
    "limit": ((12, 0.0, 0.42, RED), (12, 0.0, 0.31, WHITE), (4, 0.0, 0.16, BLACK)),
    "no_entry": ((12, 0.0, 0.42, RED), (4, 0.0, 0.2, WHITE)),
    "stop": ((8, math.pi / 8, 0.46, WHITE), (8, math.pi / 8, 0.4, RED), (4, 0.0, 0.2, WHITE)),
    "warning": ((3, 0.0, 0.52, RED), (3, 0.0, 0.32, WHITE)),
    "yield": ((3, math.pi, 0.52, RED), (3, math.pi, 0.32, WHITE)),
    "priority": ((4, 0.0, 0.5, WHITE), (4, 0.0, 0.38, YELLOW)),
    "diamond": ((4, 0.0, 0.56, BLACK), (4, 0.0, 0.5, YELLOW), (4, 0.0, 0.18, BLACK)),
    "crossing": ((4, math.pi / 4, 0.52, BLUE), (3, 0.0, 0.34, WHITE)),
    "keep_right": ((12, 0.0, 0.42, WHITE), (12, 0.0, 0.37, BLUE), (4, 0.0, 0.18, WHITE)),
    "speed": ((4, math.pi / 4, 0.58, BLACK), (4, math.pi / 4, 0.52, WHITE), (4, 0.0, 0.2, BLACK)),
    "street": ((4, math.pi / 4, 0.55, GREEN), (4, 0.0, 0.2, WHITE)),
}
"""Each sign as regular polygons from back to front: corners, turn in radians, radius in metres, colour."""


@dataclass(frozen=True)
class Post:
    """A pole with what hangs on it; `toward` is -1 or 1, where its arm points."""

    kind: Literal["lamp", "bare", "light", "sign", "gantry", "bin"]
    x: float
    z: float
    toward: int
    height: float
    colour: Colour
    face: str = ""
    """Which sign, or the lamp that is lit."""

    @property
    def depth(self) -> float:
        """Distance that orders painting."""
        return self.z

    def caster(self) -> Caster:
        """What casts its shadow."""
        half = 0.3 if self.kind == "bin" else 0.08
        left, right, near, far = self.x - half, self.x + half, self.z - half, self.z + half
        return [(left, 0, far), (right, 0, far), (right, 0, near), (left, 0, near)], 0.0, self.height

    def paint(self, canvas: Canvas) -> None:
        """Pole first, then what it carries."""
        if self.kind == "bin":
            bin_ = Box(Frame(self.x, self.z), (-0.3, 0.0, -0.3), (0.3, self.height, 0.3))
            canvas.box(bin_, self.colour, STATIC)
            return
        shade = canvas.light.shade(_upright(0, 0, 0, 1, 1))
        steel = (self.colour[0] * shade[0], self.colour[1] * shade[1], self.colour[2] * shade[2])
        width = {"sign": 0.1, "gantry": 0.26}.get(self.kind, 0.17)
        canvas.rod((self.x, 0, self.z), (self.x, self.height, self.z), width, steel, POLE)
        if self.kind == "lamp":
            self._lamp(canvas, steel)
        elif self.kind == "light":
            self._lights(canvas, steel)
        elif self.kind == "sign":
            self._sign(canvas)
        elif self.kind == "gantry":
            self._gantry(canvas, steel)

    def _at(self, across: float, up: float) -> Point:
        return self.x + self.toward * across, up, self.z

    def _lamp(self, canvas: Canvas, steel: Colour) -> None:
        canvas.rod(self._at(0, self.height), self._at(1.8, self.height + 0.3), 0.1, steel, POLE)
        end = self._at(1.5, self.height + 0.25), self._at(2.3, self.height + 0.25)
        canvas.rod(*end, 0.2, (206, 206, 200), POLE)

    def _lights(self, canvas: Canvas, steel: Colour) -> None:
        self._signal(canvas, self._at(0.0, min(self.height, 3.0)))
        if self.height > 4:
            canvas.rod(self._at(0, self.height - 0.1), self._at(4.2, self.height + 0.2), 0.12, steel, POLE)
            self._signal(canvas, self._at(4.1, self.height - 0.2))

    def _signal(self, canvas: Canvas, centre: Point) -> None:
        x, y, z = centre
        case = Box(Frame(x, z), (-0.22, y - 0.58, -0.15), (0.22, y + 0.58, 0.15))
        canvas.box(case, (38, 40, 38), TRAFFIC_LIGHT)
        for name, up in (("red", 0.36), ("amber", 0.0), ("green", -0.36)):
            lamp = LAMPS[name] if name == self.face else (64, 60, 56)
            canvas.blob((x, y + up, z - 0.16), (0.15, 0.15), lamp, TRAFFIC_LIGHT)

    def _sign(self, canvas: Canvas) -> None:
        shade = canvas.light.shade(_upright(0, 0, 0, 1, 1))
        for corners, turn, radius, (red, green, blue) in SIGNS[self.face]:
            turns = [turn + 2 * math.pi * corner / corners for corner in range(corners)]
            shape = [
                (self.x + radius * math.sin(turn), self.height + radius * math.cos(turn), self.z - 0.1)
                for turn in turns
            ]
            canvas.polygon(shape, (red * shade[0], green * shade[1], blue * shade[2]), TRAFFIC_SIGN)

    def _gantry(self, canvas: Canvas, steel: Colour) -> None:
        canvas.rod(self._at(0, self.height), self._at(6.5, self.height), 0.2, steel, POLE)
        left, right = sorted((self.x + self.toward * 2.2, self.x + self.toward * 6.2))
        colour, bottom, top = SIGNS[self.face][0][3], self.height - 0.6, self.height + 1.2
        canvas.face(_upright(left, bottom, self.z, right, top), WHITE, TRAFFIC_SIGN)
        canvas.face(_upright(left + 0.1, bottom + 0.1, self.z, right - 0.1, top - 0.1), colour, TRAFFIC_SIGN)
        for row in (0.35, 0.95):
            text = _upright(left + 0.5, bottom + row, self.z, right - 0.9, bottom + row + 0.25)
            canvas.face(text, WHITE, TRAFFIC_SIGN)


def _upright(left: float, bottom: float, z: float, right: float, top: float) -> Shape:
    return [(left, top, z), (right, top, z), (right, bottom, z), (left, bottom, z)]
