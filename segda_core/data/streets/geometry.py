"""Points, faces and boxes in metres, and the camera that turns them into canvas positions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

WIDTH, HEIGHT = 256, 128
SCALE = 3
"""Canvas pixels for each pixel of the finished picture, in both directions."""

NEAR = 1.2
"""Metres in front of the camera where shapes are cut off."""

Point = tuple[float, float, float]
"""Metres: to the right, up from the road, forward from the camera."""
Shape = Sequence[Point]
"""Corners of a flat face, clockwise as seen from outside; four of them begin at the top left."""
Caster = tuple[Shape, float, float]
"""What casts a shadow: an outline on the ground, and the heights between which it is solid."""


@dataclass(frozen=True)
class View:
    """The camera: a pinhole above the road, looking along it."""

    focal: float
    """Focal length in pixels of the finished picture."""
    height: float
    """Metres above the road."""
    horizon: float
    """Row of the horizon in the finished picture."""
    x: float
    """Metres to the right of the middle of the camera's lane."""
    yaw: float
    """Radians to the right."""
    roll: float
    """Radians."""
    bend: float
    """The road's curve: it drifts `bend * z ** 2` metres to the right."""

    def pixel(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Canvas position of a point; z must be positive."""
        scale = SCALE * self.focal / z
        across = (x - self.x + (self.bend * z - self.yaw) * z) * scale
        down = (self.height - y) * scale
        return (
            SCALE * WIDTH / 2 + across + self.roll * down,
            SCALE * self.horizon + down - self.roll * across,
        )

    def size(self, metres: float, z: float) -> float:
        """Canvas pixels of a length across the view at distance z."""
        return metres * SCALE * self.focal / max(z, NEAR)


@dataclass(frozen=True)
class Frame:
    """Where a thing stands and which way it points; 0 is away from the camera, pi/2 to the right."""

    x: float
    z: float
    heading: float = 0.0

    @cached_property
    def _turn(self) -> tuple[float, float]:
        return math.sin(self.heading), math.cos(self.heading)

    def at(self, across: float, up: float, along: float) -> Point:
        """World position of a point given in the thing's own directions."""
        sine, cosine = self._turn
        return self.x + across * cosine + along * sine, up, self.z + along * cosine - across * sine


@dataclass(frozen=True)
class Box:
    """A block in a frame, from (across, up, along) `low` to `high`."""

    frame: Frame
    low: Point
    high: Point

    @property
    def rear(self) -> Shape:
        """The face that looks backwards."""
        return self._face((0, 1, 0), (1, 1, 0), (1, 0, 0), (0, 0, 0))

    @property
    def front(self) -> Shape:
        """The face that looks forwards."""
        return self._face((1, 1, 1), (0, 1, 1), (0, 0, 1), (1, 0, 1))

    @property
    def left(self) -> Shape:
        """The face that looks to the left."""
        return self._face((0, 1, 1), (0, 1, 0), (0, 0, 0), (0, 0, 1))

    @property
    def right(self) -> Shape:
        """The face that looks to the right."""
        return self._face((1, 1, 0), (1, 1, 1), (1, 0, 1), (1, 0, 0))

    @property
    def top(self) -> Shape:
        """The face that looks up."""
        return self._face((0, 1, 1), (1, 1, 1), (1, 1, 0), (0, 1, 0))

    @property
    def faces(self) -> tuple[Shape, ...]:
        """All but the underside."""
        return self.top, self.rear, self.front, self.left, self.right

    def _face(self, *corners: tuple[int, int, int]) -> Shape:
        ends = (self.low, self.high)
        return [self.frame.at(ends[a][0], ends[b][1], ends[c][2]) for a, b, c in corners]


def patch(shape: Shape, left: float, top: float, right: float, bottom: float) -> Shape:
    """Part of a four-cornered face; the arguments are shares of its width and height from the top left."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz), (dx, dy, dz) = shape

    def inner(u: float, v: float) -> Point:
        p, q, r, s = (1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v
        return (
            p * ax + q * bx + r * cx + s * dx,
            p * ay + q * by + r * cy + s * dy,
            p * az + q * bz + r * cz + s * dz,
        )

    return inner(left, top), inner(right, top), inner(right, bottom), inner(left, bottom)


def disc(frame: Frame, across: float, centre: tuple[float, float], radius: float, side: int) -> Shape:
    """A round face that looks to the left (side -1) or right (1); `centre` is (along, up)."""
    turns = (side * 2 * math.pi * corner / 10 for corner in range(10))
    return [
        frame.at(across, centre[1] + radius * math.cos(turn), centre[0] + radius * math.sin(turn))
        for turn in turns
    ]


def normal(shape: Shape) -> Point:
    """Unit vector out of a face."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = shape[0], shape[1], shape[2]
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = math.sqrt(x * x + y * y + z * z) or 1.0
    return x / length, y / length, z / length


def clockwise(outline: list[tuple[float, float]]) -> bool:
    """Whether canvas corners run clockwise: the shape shows its outside."""
    area, (a, b) = 0.0, outline[-1] if outline else (0.0, 0.0)
    for c, d in outline:
        area += a * d - c * b
        a, b = c, d
    return area > 0


def cut_near(shape: Shape) -> Shape:
    """The part of a shape that is far enough in front of the camera."""
    kept: list[Point] = []
    for start, end in zip(shape, [*shape[1:], shape[0]], strict=True):
        if start[2] >= NEAR:
            kept.append(start)
        if (start[2] >= NEAR) != (end[2] >= NEAR):
            share = (NEAR - start[2]) / (end[2] - start[2])
            x, y = (start[axis] + share * (end[axis] - start[axis]) for axis in (0, 1))
            kept.append((x, y, NEAR))
    return kept
