"""Trucks, buses and trams: long blocks with rows of windows."""

import math

from segda_core.data.streets.cars import GLASS, HEADLIGHT, PLATE, STEEL, TAIL_LIGHT, paint_tyres, paint_wheels
from segda_core.data.streets.draw import BUS, TRAIN, TRUCK, Canvas, Colour
from segda_core.data.streets.geometry import Box, Frame, Shape, patch


def paint_truck(canvas: Canvas, frame: Frame, colour: Colour, accent: Colour) -> None:
    """A cab in front of a tall cargo box."""
    paint_tyres(canvas, frame, 1.15, (-2.9, -1.8, 2.9), TRUCK, 0.5)
    chassis = Box(frame, (-1.0, 0.55, -4.1), (1.0, 1.0, 4.1))
    cab = Box(frame, (-1.2, 0.55, 2.2), (1.2, 2.9, 4.2))
    cargo = Box(frame, (-1.25, 1.0, -4.2), (1.25, 3.6, 2.0))
    canvas.box(chassis, (48, 48, 52), TRUCK)
    canvas.face(patch(chassis.rear, 0.0, 0.1, 0.16, 0.6), TAIL_LIGHT, TRUCK)
    canvas.face(patch(chassis.rear, 0.84, 0.1, 1.0, 0.6), TAIL_LIGHT, TRUCK)
    canvas.face(patch(chassis.rear, 0.36, 0.2, 0.64, 0.7), PLATE, TRUCK)
    facing_us = math.cos(frame.heading) < 0
    for part in (cargo, cab) if facing_us else (cab, cargo):
        canvas.box(part, colour if part is cab else accent, TRUCK)
        if part is cargo:
            _cargo_marks(canvas, cargo, colour)
        else:
            _truck_cab(canvas, cab)
    paint_wheels(canvas, frame, 1.26, (-2.9, -1.8, 2.9), 0.5, TRUCK)


def _cargo_marks(canvas: Canvas, cargo: Box, colour: Colour) -> None:
    canvas.face(patch(cargo.rear, 0.49, 0.03, 0.51, 0.97), (90, 90, 92), TRUCK)
    canvas.face(patch(cargo.rear, 0.05, 0.94, 0.95, 1.0), (170, 40, 36), TRUCK)
    for side in (cargo.left, cargo.right):
        canvas.face(patch(side, 0.12, 0.3, 0.88, 0.62), colour, TRUCK)


def _truck_cab(canvas: Canvas, cab: Box) -> None:
    canvas.face(patch(cab.front, 0.06, 0.12, 0.94, 0.48), GLASS, TRUCK)
    canvas.face(patch(cab.front, 0.2, 0.58, 0.8, 0.82), (40, 40, 44), TRUCK)
    for lamp in (0.03, 0.8):
        canvas.face(patch(cab.front, lamp, 0.86, lamp + 0.17, 0.96), HEADLIGHT, TRUCK)
    for side in (cab.left, cab.right):
        canvas.face(patch(side, 0.2, 0.14, 0.85, 0.46), GLASS, TRUCK)


def paint_bus(canvas: Canvas, frame: Frame, colour: Colour, accent: Colour) -> None:
    """One long block with a band of windows all round."""
    paint_tyres(canvas, frame, 1.2, (-3.2, 3.4), BUS, 0.48)
    body = Box(frame, (-1.25, 0.35, -5.75), (1.25, 3.05, 5.75))
    canvas.box(body, colour, BUS)
    for side in (body.left, body.right):
        canvas.face(patch(side, 0.0, 0.66, 1.0, 0.76), accent, BUS)
        _window_row(canvas, side, 7, (0.14, 0.52), BUS)
        canvas.face(patch(side, 0.0, 0.92, 1.0, 1.0), (50, 50, 52), BUS)
    canvas.face(patch(body.rear, 0.1, 0.12, 0.9, 0.42), GLASS, BUS)
    canvas.face(patch(body.rear, 0.0, 0.66, 1.0, 0.76), accent, BUS)
    canvas.face(patch(body.rear, 0.2, 0.78, 0.8, 0.92), (60, 60, 62), BUS)
    for lamp in (0.02, 0.86):
        canvas.face(patch(body.rear, lamp, 0.5, lamp + 0.12, 0.64), TAIL_LIGHT, BUS)
        canvas.face(patch(body.front, lamp, 0.82, lamp + 0.12, 0.9), HEADLIGHT, BUS)
    canvas.face(patch(body.front, 0.05, 0.2, 0.95, 0.66), GLASS, BUS)
    canvas.face(patch(body.front, 0.2, 0.04, 0.8, 0.16), (250, 170, 50), BUS)
    paint_wheels(canvas, frame, 1.26, (-3.2, 3.4), 0.48, BUS)


def paint_tram(canvas: Canvas, frame: Frame, colour: Colour, accent: Colour) -> None:
    """Three articulated cars with bellows between and a current collector on the roof."""
    starts = (-13.5, -4.4, 4.7)
    order = starts if math.cos(frame.heading) < 0 else tuple(reversed(starts))
    for start in order:
        bellows = Box(frame, (-1.1, 0.4, start - 0.25), (1.1, 3.2, start + 9.05))
        canvas.box(bellows, (40, 40, 42), TRAIN)
        _tram_car(canvas, Box(frame, (-1.25, 0.25, start), (1.25, 3.35, start + 8.8)), colour, accent)
    roof = Box(frame, (-0.9, 3.35, -3.0), (0.9, 3.7, 3.0))
    canvas.box(roof, STEEL, TRAIN)
    canvas.rod(frame.at(-0.6, 3.7, 0), frame.at(0.0, 5.0, 0.8), 0.06, (60, 60, 62), TRAIN)
    canvas.rod(frame.at(-0.8, 5.0, 0.8), frame.at(0.8, 5.0, 0.8), 0.06, (60, 60, 62), TRAIN)


def _tram_car(canvas: Canvas, body: Box, colour: Colour, accent: Colour) -> None:
    canvas.box(body, colour, TRAIN)
    for side in (body.left, body.right):
        canvas.face(patch(side, 0.0, 0.56, 1.0, 0.64), accent, TRAIN)
        _window_row(canvas, side, 5, (0.12, 0.5), TRAIN)
        canvas.face(patch(side, 0.42, 0.1, 0.58, 0.9), (70, 76, 84), TRAIN)
        canvas.face(patch(side, 0.0, 0.9, 1.0, 1.0), (46, 46, 48), TRAIN)
    for end in (body.rear, body.front):
        canvas.face(patch(end, 0.06, 0.14, 0.94, 0.54), GLASS, TRAIN)
        canvas.face(patch(end, 0.0, 0.58, 1.0, 0.68), accent, TRAIN)
        canvas.face(patch(end, 0.25, 0.03, 0.75, 0.12), (250, 170, 50), TRAIN)
        canvas.face(patch(end, 0.0, 0.9, 1.0, 1.0), (46, 46, 48), TRAIN)
        light = TAIL_LIGHT if end is body.rear else HEADLIGHT
        for lamp in (0.06, 0.82):
            canvas.face(patch(end, lamp, 0.74, lamp + 0.12, 0.82), light, TRAIN)


def _window_row(canvas: Canvas, side: Shape, count: int, rows: tuple[float, float], label: int) -> None:
    for number in range(count):
        left = 0.02 + number * 0.96 / count
        canvas.face(patch(side, left, rows[0], left + 0.88 / count, rows[1]), GLASS, label)
