"""Trees and bushes as heaps of leaves in the sun."""

import math
import random
from dataclasses import dataclass
from typing import Literal

from segda_core.data.streets.draw import VEGETATION, Canvas, Colour
from segda_core.data.streets.geometry import Caster, Point

TreeKind = Literal["broad", "conifer", "palm", "bush"]


@dataclass(frozen=True)
class Tree:
    """A broadleaf tree, conifer, palm or bush; its trunk is vegetation too, as in Cityscapes."""

    x: float
    z: float
    height: float
    radius: float
    colour: Colour
    kind: TreeKind
    seed: int

    @property
    def depth(self) -> float:
        """Distance that orders painting."""
        return self.z

    def caster(self) -> Caster:
        """What casts its shadow."""
        reach = self.radius * (0.35 if self.kind == "palm" else 0.9)
        turns = [corner * math.pi / 4 for corner in range(8)]
        shape = [(self.x + reach * math.cos(turn), 0.0, self.z + reach * math.sin(turn)) for turn in turns]
        return shape, self.height * (0.0 if self.kind == "bush" else 0.4), self.height * 0.8

    def paint(self, canvas: Canvas) -> None:
        """Trunk, then leaves from the dark ones behind to the bright ones on the sunny side."""
        chance = random.Random(self.seed)
        if self.kind != "bush":
            trunk = (96, 78, 58) if self.kind != "palm" else (150, 126, 92)
            width = 0.16 + 0.018 * self.height
            top = (self.x, self.height * 0.8, self.z)
            canvas.rod((self.x, 0, self.z), top, width, _leafy(canvas, trunk, 0.75), VEGETATION)
        if self.kind == "palm":
            self._fronds(canvas, chance)
        elif self.kind == "conifer":
            self._tiers(canvas, chance)
        else:
            self._leaves(canvas, chance)

    def _leaves(self, canvas: Canvas, chance: random.Random) -> None:
        bush = self.kind == "bush"
        tall = self.height * (0.5 if bush else 0.36)
        middle = self.height * 0.5 if bush else self.height - tall
        count = min(70, max(14, int(canvas.view.size(self.radius, self.z) * 0.7)))
        toward = canvas.light.sun[0]
        for number in range(count):
            turn, reach = chance.uniform(0, 2 * math.pi), math.sqrt(chance.random())
            across, up = reach * math.cos(turn), reach * math.sin(turn)
            bright = (
                0.62 + 0.3 * number / count + 0.2 * up + 0.16 * across * toward + chance.uniform(-0.1, 0.1)
            )
            centre = (self.x + across * self.radius * 0.8, middle + up * tall * 0.85, self.z - 0.01 * number)
            size = chance.uniform(0.24, 0.44) * (1.25 - number / count)
            canvas.blob(
                centre, (size * self.radius, size * tall), _leafy(canvas, self.colour, bright), VEGETATION
            )

    def _tiers(self, canvas: Canvas, chance: random.Random) -> None:
        for tier in range(7):
            low = self.height * (0.12 + 0.11 * tier)
            half = self.radius * (1.05 - 0.13 * tier) * chance.uniform(0.85, 1.1)
            corners = [
                (self.x, low + self.height * 0.24, self.z),
                (self.x + half, low, self.z),
                (self.x - half, low, self.z),
            ]
            canvas.polygon(corners, _leafy(canvas, self.colour, 0.62 + 0.05 * tier), VEGETATION)
            sunny = [corners[0], corners[1 if canvas.light.sun[0] > 0 else 2], (self.x, low, self.z)]
            canvas.polygon(sunny, _leafy(canvas, self.colour, 0.85 + 0.05 * tier), VEGETATION)

    def _fronds(self, canvas: Canvas, chance: random.Random) -> None:
        crown: Point = (self.x, self.height * 0.82, self.z)
        for frond in range(11):
            turn = math.pi * (frond / 10 * 1.3 - 0.15)
            reach = self.radius * chance.uniform(0.8, 1.15)
            across, up = reach * math.cos(turn), reach * 0.7 * math.sin(turn)
            bend = (crown[0] + across * 0.6, crown[1] + up * 0.8 + reach * 0.12, self.z)
            tip = (crown[0] + across * 1.05, crown[1] + up * 0.6 - reach * 0.3, self.z)
            under = (bend[0], bend[1] - reach * 0.16, self.z)
            bright = _leafy(canvas, self.colour, chance.uniform(0.7, 1.15))
            canvas.polygon([crown, bend, tip, under], bright, VEGETATION)


def _leafy(canvas: Canvas, colour: Colour, bright: float) -> Colour:
    ambient, direct = canvas.light.ambient, canvas.light.direct
    return (
        colour[0] * bright * (ambient[0] + 0.6 * direct[0]),
        colour[1] * bright * (ambient[1] + 0.6 * direct[1]),
        colour[2] * bright * (ambient[2] + 0.6 * direct[2]),
    )
