"""One sample from its number: plan a street, paint it, let the domain's camera see it."""

import random

import numpy as np

from segda_core.data.streets.draw import EGO_VEHICLE, OUT_OF_ROI, Canvas
from segda_core.data.streets.geometry import HEIGHT, WIDTH
from segda_core.data.streets.ground import paint_ground, paint_sky, settle_ground
from segda_core.data.streets.lining import line_sides
from segda_core.data.streets.plan import make_plan, make_view
from segda_core.data.streets.style import LOOKS, Look
from segda_core.data.streets.traffic import fill_road

SHADOWED = 100.0
"""Metres up to which shadows are worth casting."""


def draw_sample(domain: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture (128, 256, 3) and label ids (128, 256), uint8; the same bytes for the same arguments."""
    look = LOOKS[domain]
    noise = np.random.default_rng([1, look.seed, index])
    chance = random.Random(int(noise.integers(2**63)))
    canvas = _paint(look, index, chance, noise)
    picture, labels = canvas.picture(), canvas.labels()
    if look.bonnet:
        _add_bonnet(picture, labels, chance)
    picture = look.finish(picture, labels, noise)
    return np.clip(picture, 0, 255).astype(np.uint8), labels


def _paint(look: Look, index: int, chance: random.Random, noise: np.random.Generator) -> Canvas:
    plan = make_plan(look, index, chance)
    things = sorted([*line_sides(plan), *fill_road(plan)], key=lambda thing: -thing.depth)
    canvas = Canvas(make_view(look, chance), look.light(chance))
    paint_sky(canvas, noise)
    paint_ground(canvas, plan.layout, plan.ground)
    casters = [thing.caster() for thing in things if thing.depth < SHADOWED]
    settle_ground(canvas, casters, plan.ground.grain, noise)
    for thing in things:
        thing.paint(canvas)
    return canvas


def _add_bonnet(picture: np.ndarray, labels: np.ndarray, chance: random.Random) -> None:
    """The lower edge of a real recording: the car's own bonnet, and a row lost to rectification."""
    across = np.linspace(-1, 1, WIDTH, dtype=np.float32)
    top = HEIGHT - chance.uniform(7, 12) * np.sqrt(np.maximum(0, 1 - 0.75 * across**2))
    inside = np.arange(HEIGHT)[:, None] >= top[None, :]
    depth = np.clip((np.arange(HEIGHT)[:, None] - top[None, :]) / 10, 0, 1)
    shine = 40 + 90 * (1 - depth) ** 3
    picture[inside] = shine[inside][:, None] * np.array((0.95, 1.0, 1.06), np.float32)
    labels[inside] = EGO_VEHICLE
    picture[-1:], labels[-1:] = 8, OUT_OF_ROI
