"""Cars: a body with bonnet and boot, a cabin of glass, wheels and lights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from segda_core.data.streets.draw import CAR, Canvas, Colour
from segda_core.data.streets.geometry import Box, Frame, Point, disc, patch

GLASS: Colour = (52, 62, 74)
RUBBER: Colour = (22, 22, 24)
STEEL: Colour = (120, 122, 126)
TAIL_LIGHT: Colour = (196, 22, 20)
HEADLIGHT: Colour = (246, 244, 226)
PLATE: Colour = (226, 226, 216)

Profile = Sequence[tuple[float, float, float]]
"""Side view from the lower rear over the top to the lower front: (along, up, half of the width there)."""


@dataclass(frozen=True)
class CarModel:
    """Proportions of a car, in metres."""

    length: float
    width: float
    belt: float
    """Height of the lower edge of the windows."""
    roof: float
    deck: float
    """Length of the boot lid."""
    hood: float
    rake_rear: float
    """How far the roof starts in front of the rear window's foot."""
    rake_front: float


SEDAN = CarModel(4.6, 1.82, 0.94, 1.46, 0.75, 1.15, 0.65, 0.85)
HATCHBACK = CarModel(3.9, 1.72, 0.96, 1.5, 0.12, 0.95, 0.45, 0.75)
ESTATE = CarModel(4.6, 1.8, 0.95, 1.5, 0.1, 1.1, 0.35, 0.8)
OFF_ROADER = CarModel(4.6, 1.92, 1.12, 1.78, 0.08, 1.1, 0.25, 0.6)
COUPE = CarModel(4.4, 1.86, 0.84, 1.26, 0.7, 1.45, 0.85, 0.9)
VAN = CarModel(5.0, 1.95, 1.2, 2.1, 0.05, 0.7, 0.06, 0.75)
PICKUP = CarModel(5.3, 1.96, 1.05, 1.82, 1.9, 1.25, 0.15, 0.6)

CAR_MODELS = {
    "sedan": SEDAN,
    "hatchback": HATCHBACK,
    "estate": ESTATE,
    "off_roader": OFF_ROADER,
    "coupe": COUPE,
    "van": VAN,
    "pickup": PICKUP,
}


def paint_car(canvas: Canvas, frame: Frame, model: CarModel, colour: Colour) -> None:
    """A body with bonnet and boot, a narrower cabin of glass on top."""
    end, half = model.length / 2, model.width / 2
    axle = end - 0.82
    paint_tyres(canvas, frame, half - 0.02, (-axle, axle), CAR)
    body: Profile = (
        (-end, 0.27, half * 0.96),
        (-end - 0.03, 0.6, half),
        (-end + 0.08, model.belt, half * 0.97),
        (end - model.hood, model.belt + 0.02, half * 0.97),
        (end - 0.12, model.belt - 0.17, half * 0.95),
        (end, 0.55, half * 0.95),
        (end - 0.04, 0.25, half * 0.93),
    )
    _extrude(canvas, frame, body, colour, CAR)
    paint_wheels(canvas, frame, half + 0.01, (-axle, axle), 0.31, CAR)
    _ends(canvas, frame, model)
    if model is PICKUP:
        bed = Box(frame, (-half * 0.8, model.belt, -end + 0.2), (half * 0.8, model.belt + 0.01, -0.4))
        canvas.face(bed.top, (46, 46, 48), CAR)
    _cabin(canvas, frame, model, colour)


def _cabin(canvas: Canvas, frame: Frame, model: CarModel, colour: Colour) -> None:
    base, top = model.width / 2 * 0.94, model.width / 2 * 0.76
    foot = (-model.length / 2 + model.deck, model.length / 2 - model.hood)
    roof = (foot[0] + model.rake_rear, foot[1] - model.rake_front)

    def corner(side: int, along: int, high: bool) -> Point:
        reach = (roof if high else foot)[along]
        return frame.at(side * (top if high else base), model.roof if high else model.belt, reach)

    rear = [corner(-1, 0, True), corner(1, 0, True), corner(1, 0, False), corner(-1, 0, False)]
    front = [corner(1, 1, True), corner(-1, 1, True), corner(-1, 1, False), corner(1, 1, False)]
    left = [corner(-1, 1, True), corner(-1, 0, True), corner(-1, 0, False), corner(-1, 1, False)]
    right = [corner(1, 0, True), corner(1, 1, True), corner(1, 1, False), corner(1, 0, False)]
    canvas.face(
        [corner(-1, 1, True), corner(1, 1, True), corner(1, 0, True), corner(-1, 0, True)], colour, CAR
    )
    for side in (left, right):
        canvas.face(side, colour, CAR)
        if model is not VAN:
            canvas.face(patch(side, 0.06, 0.16, 0.48, 0.92), GLASS, CAR)
        near_front = (0.04, 0.48) if side is left and model is VAN else (0.52, 0.95)
        canvas.face(patch(side, near_front[0], 0.16, near_front[1], 0.92), GLASS, CAR)
    for end in (rear, front):
        canvas.face(end, colour, CAR)
        canvas.face(patch(end, 0.08, 0.12, 0.92, 0.62 if model is VAN else 0.95), GLASS, CAR)


def _ends(canvas: Canvas, frame: Frame, model: CarModel) -> None:
    end, half = model.length / 2 + 0.035, model.width / 2 * 0.95
    body = Box(frame, (-half, 0.27, -end), (half, model.belt, end))
    for lamp in ((0.02, 0.2), (0.8, 0.98)):
        canvas.face(patch(body.rear, lamp[0], 0.12, lamp[1], 0.42), TAIL_LIGHT, CAR)
        canvas.face(patch(body.front, lamp[0], 0.3, lamp[1] + 0.02, 0.55), HEADLIGHT, CAR)
    canvas.face(patch(body.rear, 0.33, 0.36, 0.67, 0.56), PLATE, CAR)
    canvas.face(patch(body.rear, 0.02, 0.82, 0.98, 1.0), (44, 44, 46), CAR)
    canvas.face(patch(body.front, 0.24, 0.36, 0.76, 0.6), (30, 30, 34), CAR)
    canvas.face(patch(body.front, 0.35, 0.7, 0.65, 0.86), PLATE, CAR)
    canvas.face(patch(body.front, 0.04, 0.88, 0.96, 1.0), (44, 44, 46), CAR)


def _extrude(canvas: Canvas, frame: Frame, profile: Profile, colour: Colour, label: int) -> None:
    rear_first = math.cos(frame.heading) < 0  # what is nearer is painted last
    edges = list(pairwise(profile))
    for (c0, b0, a0), (c1, b1, a1) in edges if rear_first else reversed(edges):
        shape = [frame.at(-a1, b1, c1), frame.at(a1, b1, c1), frame.at(a0, b0, c0), frame.at(-a0, b0, c0)]
        canvas.face(shape, colour, label)
    canvas.face([frame.at(half, up, along) for along, up, half in profile], colour, label)
    canvas.face([frame.at(-half, up, along) for along, up, half in reversed(profile)], colour, label)


def paint_tyres(
    canvas: Canvas, frame: Frame, half: float, axles: Sequence[float], label: int, radius: float = 0.32
) -> None:
    """Tyres as they show below the body from the front or the rear."""
    for axle in axles:
        for side in (-half, half - 0.26):
            tyre = Box(frame, (side, 0.0, axle - radius * 0.8), (side + 0.26, radius, axle + radius * 0.8))
            canvas.box(tyre, RUBBER, label)


def paint_wheels(
    canvas: Canvas, frame: Frame, half: float, axles: Sequence[float], radius: float, label: int
) -> None:
    """Wheels as they show on the sides."""
    for axle in axles:
        for side in (-1, 1):
            for size, colour in ((radius * 1.05, RUBBER), (radius * 0.6, (150, 150, 154))):
                canvas.face(disc(frame, side * half, (axle, radius), size, side), colour, label)
