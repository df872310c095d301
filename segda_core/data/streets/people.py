"""People on foot, and bicycles and motorcycles with or without their riders."""

import math
from dataclasses import dataclass

from segda_core.data.streets.cars import HEADLIGHT, PLATE, RUBBER, STEEL, TAIL_LIGHT
from segda_core.data.streets.draw import BICYCLE, MOTORCYCLE, PERSON, RIDER, Canvas, Colour, tinted
from segda_core.data.streets.geometry import Box, Caster, Frame, Point, disc, patch


@dataclass(frozen=True)
class Outfit:
    """Colours of one person."""

    top: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    helmet: Colour | None = None


@dataclass(frozen=True)
class Walker:
    """A person standing or walking."""

    frame: Frame
    height: float
    stride: float
    """Half the distance between the feet, metres."""
    outfit: Outfit
    bag: Colour | None = None

    @property
    def depth(self) -> float:
        """Distance that orders painting."""
        return self.frame.z

    def caster(self) -> Caster:
        """What casts its shadow."""
        x, z = self.frame.x, self.frame.z
        left, right, near, far = x - 0.2, x + 0.2, z - 0.15, z + 0.15
        return [(left, 0, far), (right, 0, far), (right, 0, near), (left, 0, near)], 0.0, self.height * 0.9

    def paint(self, canvas: Canvas) -> None:
        """Legs, arms, trunk and head, facing the camera or not."""
        size, wear = self.height / 1.75, self.outfit
        shade = canvas.light.shade(Box(Frame(0, 0), (-1, 0, 0), (1, 1, 1)).rear)
        top, trousers, skin = (tinted(colour, shade) for colour in (wear.top, wear.trousers, wear.skin))

        def at(across: float, up: float) -> Point:
            return self.frame.x + across * size, up * size, self.frame.z

        def fill(colour: Colour, *corners: tuple[float, float]) -> None:
            canvas.polygon([at(*corner) for corner in corners], colour, PERSON)

        step = self.stride
        for side, foot in ((-1, -step), (1, step)):
            fill(
                tinted(trousers, (0.85, 0.85, 0.85)) if side < 0 else trousers,
                (side * 0.1 - 0.09, 0.85), (side * 0.1 + 0.09, 0.85), (foot + side * 0.06 + 0.07, 0.05),
                (foot + side * 0.06 - 0.07, 0.05),
            )  # fmt: skip
            canvas.blob(at(foot + side * 0.06 + 0.03, 0.04), (0.11 * size, 0.05 * size), (30, 28, 28), PERSON)
        for side in (-1, 1):
            hand = (side * (0.27 + 0.3 * step), 0.82)
            canvas.rod(at(side * 0.21, 1.38), at(*hand), 0.11 * size, tinted(top, (0.88, 0.88, 0.88)), PERSON)
            canvas.blob(at(*hand), (0.05 * size, 0.06 * size), skin, PERSON)
        fill(top, (-0.17, 1.48), (0.17, 1.48), (0.23, 1.36), (0.18, 0.8), (-0.18, 0.8), (-0.23, 1.36))
        fill(
            tinted(top, (0.8, 0.8, 0.82)),
            (-0.17, 1.48),
            (-0.06, 1.48),
            (-0.08, 0.8),
            (-0.18, 0.8),
            (-0.23, 1.36),
        )
        if self.bag is not None:
            fill(self.bag, (0.14, 1.02), (0.36, 1.02), (0.36, 0.7), (0.14, 0.7))
        _head(canvas, at(0, 1.62), 0.12 * size, wear, skin, PERSON)


@dataclass(frozen=True)
class Cycle:
    """A bicycle or motorcycle (`label`), ridden when there is a rider's outfit."""

    frame: Frame
    label: int
    colour: Colour
    rider: Outfit | None = None

    @property
    def depth(self) -> float:
        """Distance that orders painting."""
        return self.frame.z

    def caster(self) -> Caster:
        """What casts its shadow."""
        corners = ((-0.2, 0.8), (0.2, 0.8), (0.2, -0.8), (-0.2, -0.8))
        shape = [self.frame.at(across, 0.0, along) for across, along in corners]
        return shape, 0.0, 1.5 if self.rider else 0.8

    def paint(self, canvas: Canvas) -> None:
        """Seen along its length or from the side, whichever is nearer."""
        motor = self.label == MOTORCYCLE
        if abs(math.cos(self.frame.heading)) > 0.75:
            _motorcycle_end(canvas, self) if motor else _bicycle_end(canvas, self)
            if self.rider:
                _rider_end(canvas, self, self.rider, 0.82 if motor else 0.95)
        else:
            _motorcycle_side(canvas, self) if motor else _bicycle_side(canvas, self)
            if self.rider:
                _rider_side(canvas, self, self.rider, 0.84 if motor else 0.98)


def _bicycle_side(canvas: Canvas, cycle: Cycle) -> None:
    frame = cycle.frame
    side = 1 if math.sin(frame.heading) < 0 else -1
    for axle in (-0.52, 0.52):
        canvas.polygon(disc(frame, 0, (axle, 0.34), 0.36, side), RUBBER, BICYCLE)
        canvas.polygon(disc(frame, 0, (axle, 0.34), 0.27, side), (118, 118, 118), BICYCLE)
    joints = {"rear": (-0.52, 0.34), "saddle": (-0.2, 0.88), "pedal": (-0.05, 0.3), "head": (0.36, 0.86)}
    joints |= {"front": (0.52, 0.34), "bar": (0.3, 1.04)}
    bars = (
        "rear saddle",
        "rear pedal",
        "pedal saddle",
        "saddle head",
        "pedal head",
        "head front",
        "head bar",
    )
    for bar in bars:
        (c0, b0), (c1, b1) = (joints[name] for name in bar.split())
        canvas.rod(frame.at(0, b0, c0), frame.at(0, b1, c1), 0.05, cycle.colour, BICYCLE)
    canvas.rod(frame.at(0, 0.92, -0.32), frame.at(0, 0.92, -0.08), 0.08, (26, 24, 24), BICYCLE)
    canvas.rod(frame.at(0, 1.04, 0.22), frame.at(0, 1.04, 0.4), 0.06, (26, 24, 24), BICYCLE)


def _bicycle_end(canvas: Canvas, cycle: Cycle) -> None:
    frame = cycle.frame
    wheel = Box(frame, (-0.045, 0.0, -0.5), (0.045, 0.68, -0.4))
    canvas.box(wheel, RUBBER, BICYCLE)
    canvas.rod(frame.at(0, 0.5, 0), frame.at(0, 1.0, 0), 0.07, cycle.colour, BICYCLE)
    canvas.rod(frame.at(-0.3, 1.03, 0), frame.at(0.3, 1.03, 0), 0.06, (36, 36, 38), BICYCLE)
    canvas.rod(frame.at(-0.16, 0.3, 0), frame.at(0.16, 0.3, 0), 0.06, STEEL, BICYCLE)
    lamp = HEADLIGHT if math.cos(frame.heading) < 0 else TAIL_LIGHT
    canvas.blob(frame.at(0, 0.78, 0), (0.06, 0.06), lamp, BICYCLE)


def _motorcycle_side(canvas: Canvas, cycle: Cycle) -> None:
    frame = cycle.frame
    side = 1 if math.sin(frame.heading) < 0 else -1
    for axle in (-0.7, 0.72):
        canvas.polygon(disc(frame, 0, (axle, 0.33), 0.35, side), RUBBER, MOTORCYCLE)
        canvas.polygon(disc(frame, 0, (axle, 0.33), 0.19, side), STEEL, MOTORCYCLE)

    def fill(colour: Colour, *corners: tuple[float, float]) -> None:
        canvas.polygon([frame.at(0, up, along) for along, up in corners], colour, MOTORCYCLE)

    dark = tinted(cycle.colour, (0.6, 0.6, 0.6))
    fill((52, 52, 56), (-0.35, 0.62), (0.35, 0.66), (0.32, 0.22), (-0.3, 0.22))
    fill(dark, (-1.0, 0.86), (-0.45, 0.78), (-0.3, 0.55), (-0.6, 0.55))
    fill(cycle.colour, (-0.1, 0.82), (0.12, 0.98), (0.42, 0.94), (0.4, 0.66), (-0.1, 0.62))
    fill((26, 24, 26), (-0.8, 0.86), (-0.1, 0.84), (-0.1, 0.72), (-0.7, 0.74))
    canvas.rod(frame.at(0, 0.33, 0.72), frame.at(0, 1.02, 0.42), 0.09, STEEL, MOTORCYCLE)
    canvas.rod(frame.at(0, 1.04, 0.24), frame.at(0, 1.04, 0.5), 0.08, (26, 24, 24), MOTORCYCLE)
    canvas.rod(frame.at(0, 0.3, -0.9), frame.at(0, 0.28, 0.0), 0.09, (150, 150, 152), MOTORCYCLE)
    canvas.blob(frame.at(0, 0.86, 0.56), (0.1, 0.1), HEADLIGHT, MOTORCYCLE)


def _motorcycle_end(canvas: Canvas, cycle: Cycle) -> None:
    frame = cycle.frame
    oncoming = math.cos(frame.heading) < 0
    near = 0.7 if oncoming else -0.7
    canvas.box(Box(frame, (-0.09, 0.0, near - 0.1), (0.09, 0.62, near)), RUBBER, MOTORCYCLE)
    body = Box(frame, (-0.24, 0.36, -0.5), (0.24, 0.9, 0.5))
    end = body.front if oncoming else body.rear
    canvas.box(body, cycle.colour, MOTORCYCLE)
    canvas.face(patch(end, 0.0, 0.6, 1.0, 1.0), (46, 46, 50), MOTORCYCLE)
    canvas.face(patch(end, 0.2, 0.62, 0.8, 0.9), PLATE, MOTORCYCLE)
    canvas.face(patch(end, 0.3, 0.12, 0.7, 0.42), HEADLIGHT if oncoming else TAIL_LIGHT, MOTORCYCLE)
    canvas.rod(frame.at(-0.4, 1.02, 0.3), frame.at(0.4, 1.02, 0.3), 0.07, (30, 30, 32), MOTORCYCLE)
    for mirror in (-0.36, 0.36):
        canvas.blob(frame.at(mirror, 1.14, 0.3), (0.09, 0.06), (60, 62, 66), MOTORCYCLE)


def _rider_end(canvas: Canvas, cycle: Cycle, outfit: Outfit, seat: float) -> None:
    shade = canvas.light.shade(Box(Frame(0, 0), (-1, 0, 0), (1, 1, 1)).rear)
    top, trousers, skin = (tinted(colour, shade) for colour in (outfit.top, outfit.trousers, outfit.skin))
    frame = cycle.frame
    for side in (-1, 1):
        knee = frame.at(side * 0.24, seat - 0.2, 0.0)
        canvas.rod(frame.at(side * 0.12, seat, 0), knee, 0.17, trousers, RIDER)
        canvas.rod(knee, frame.at(side * 0.17, 0.3, 0), 0.13, trousers, RIDER)
        canvas.rod(
            frame.at(side * 0.2, seat + 0.5, 0), frame.at(side * 0.34, seat + 0.14, 0), 0.11, top, RIDER
        )
    trunk = ((-0.18, 0.62), (0.18, 0.62), (0.24, 0.5), (0.18, -0.02), (-0.18, -0.02), (-0.24, 0.5))
    canvas.polygon([frame.at(across, seat + up, 0) for across, up in trunk], top, RIDER)
    dim = tinted(top, (0.8, 0.8, 0.82))
    canvas.polygon(
        [frame.at(a, seat + b, 0) for a, b in ((-0.05, 0.6), (0.05, 0.6), (0.04, 0), (-0.04, 0))], dim, RIDER
    )
    _head(canvas, frame.at(0, seat + 0.76, 0), 0.135, outfit, skin, RIDER)


def _rider_side(canvas: Canvas, cycle: Cycle, outfit: Outfit, seat: float) -> None:
    shade = canvas.light.shade(Box(Frame(0, 0), (-1, 0, 0), (1, 1, 1)).rear)
    top, trousers, skin = (tinted(colour, shade) for colour in (outfit.top, outfit.trousers, outfit.skin))
    frame = cycle.frame
    for knee, foot in (((0.12, seat - 0.25), (0.0, 0.26)), ((0.22, seat - 0.1), (0.1, 0.42))):
        canvas.rod(frame.at(0, seat, -0.25), frame.at(0, knee[1], knee[0]), 0.17, trousers, RIDER)
        canvas.rod(frame.at(0, knee[1], knee[0]), frame.at(0, foot[1], foot[0]), 0.13, trousers, RIDER)
    trunk = ((-0.38, 0.04), (-0.18, 0.56), (0.06, 0.6), (0.04, 0.4), (-0.1, 0.0))
    canvas.polygon([frame.at(0, seat + up, along) for along, up in trunk], top, RIDER)
    canvas.rod(
        frame.at(0, seat + 0.5, 0.0), frame.at(0, 1.08, 0.34), 0.11, tinted(top, (0.85, 0.85, 0.85)), RIDER
    )
    _head(canvas, frame.at(0, seat + 0.75, 0.06), 0.135, outfit, skin, RIDER)


def _head(canvas: Canvas, centre: Point, radius: float, outfit: Outfit, skin: Colour, label: int) -> None:
    x, y, z = centre
    canvas.blob(centre, (radius * 0.85, radius * 1.1), skin, label)
    cover = outfit.helmet or outfit.hair
    reach = 1.05 if outfit.helmet else 0.8
    canvas.blob((x, y + radius * 0.4, z), (radius * (reach + 0.1), radius * reach), cover, label)
