"""Sky and ground of a street: road with its markings, pavements, grass, rails, shadows and distance."""

from collections.abc import Iterable
from functools import cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from segda_core.data.streets.draw import RAIL_TRACK, ROAD, SIDEWALK, SKY, TERRAIN, Canvas, Colour, dimmed
from segda_core.data.streets.geometry import HEIGHT, NEAR, SCALE, WIDTH, Caster, Shape
from segda_core.data.streets.layout import Ground, Layout, Side

FAR = 600.0
STATIONS = (NEAR, 2.0, 3.0, 4.5, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0, 110.0, 150.0, 220.0, FAR)


def paint_sky(canvas: Canvas, noise: np.random.Generator) -> None:
    """Fill the whole canvas with a gradient and clouds."""
    light = canvas.light
    reach = np.clip(np.arange(HEIGHT) / canvas.view.horizon, 0, 1)[:, None, None].astype(np.float32) ** 2
    sky = np.array(light.sky_top, np.float32) * (1 - reach) + np.array(light.sky_low, np.float32) * reach
    cover = _field(noise, (7, 5)) + 0.5 * _field(noise, (16, 9)) + 0.25 * _field(noise, (40, 24))
    cover = np.clip(cover * 0.8 + (light.clouds - 0.5) * 2.6, 0, 1)[..., None] * np.float32(0.85)
    white = np.array(light.sky_low, np.float32) * np.float32(0.4) + np.float32(150)
    shaded = np.clip(white - 26 * np.clip(_field(noise, (24, 10)), -1, 2)[..., None], 0, 255)
    pixels = np.full((HEIGHT, WIDTH, 4), SKY, np.uint8)
    pixels[..., :3] = np.clip(sky * (1 - cover) + shaded * cover, 0, 255)
    canvas.replace(_enlarged(pixels), 0)


def paint_ground(canvas: Canvas, layout: Layout, ground: Ground) -> None:
    """Flat colours first; `settle_ground` adds what light and distance do."""
    left, right = layout.sides
    for side in layout.sides:
        soft = side.kind in ("suburb", "park")
        _strip(
            canvas,
            side.at(0),
            side.side * 400.0,
            ground.grass if soft else ground.paving,
            TERRAIN if soft else SIDEWALK,
        )
        _strip(canvas, side.at(0), side.at(side.edge), ground.paving, SIDEWALK)
        if side.verge:
            _strip(canvas, side.at(0), side.at(side.verge), ground.grass, TERRAIN)
        _slabs(canvas, side, ground)
    _strip(canvas, left.kerb, right.kerb, ground.asphalt, ROAD)
    for side in layout.sides:
        _strip(canvas, side.at(0), side.at(0.16), ground.kerb, SIDEWALK)
        _strip(canvas, side.at(0), side.at(-0.3), dimmed(ground.asphalt, 0.86), ROAD)
    if layout.crossing:
        near, far = layout.crossing
        _area(canvas, (-90, 90), (near, far), ground.asphalt, ROAD)
    if layout.tracks is not None:
        _rails(canvas, layout.tracks, ground)
    _markings(canvas, layout, ground)


def settle_ground(
    canvas: Canvas, casters: Iterable[Caster], grain: float, noise: np.random.Generator
) -> None:
    """Light, cast shadows, texture and haze of everything painted so far below the horizon."""
    view, light = canvas.view, canvas.light
    top = max(0, int(view.horizon - abs(view.roll) * WIDTH / 2) - 1)
    across = np.arange(WIDTH, dtype=np.float32)[None, :] + np.float32(0.5 - WIDTH / 2)
    down = np.arange(top, HEIGHT, dtype=np.float32)[:, None] + np.float32(0.5 - view.horizon)
    z = np.float32(view.focal * view.height) / np.maximum(
        down + np.float32(view.roll) * across, np.float32(0.2)
    )
    x = across * z / np.float32(view.focal) + np.float32(view.yaw) * z - np.float32(view.bend) * z * z
    texture = _texture(x, z, noise.integers(256, size=2))
    shaded = 1 - np.float32(light.shadow) * _shadows(canvas, casters)[top:]
    clear = np.exp(-z.astype(np.float64) / light.haze_range).astype(np.float32)
    upward = np.array(light.shade(((0, 0, 1), (1, 0, 1), (1, 0, 0))), np.float32)
    pixels = np.array(canvas.image)[top * SCALE :].reshape(HEIGHT - top, SCALE, WIDTH, SCALE, 4)
    sky = pixels[:, SCALE // 2, :, SCALE // 2, 3] == SKY
    gain = np.where(sky, 1, clear * shaded * (1 + np.float32(grain) * texture))[..., None] * np.where(
        sky[..., None], 1, upward
    )
    haze = np.where(sky, 0, 1 - clear)[..., None] * np.array(light.haze, np.float32)
    lit = pixels[..., :3] * gain[:, None, :, None] + haze[:, None, :, None]
    pixels[..., :3] = np.clip(lit, 0, 255, out=lit)
    canvas.replace(pixels.reshape(-1, WIDTH * SCALE, 4), top * SCALE)


def _texture(x: np.ndarray, z: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Grit, stains and worn tracks at positions on the ground, fading where they get too small to see."""
    grit = _sample(x * 24 + offset[0], z * 12 + offset[1]) * np.minimum(1, 12 / z)
    stains = _sample(x * 3 + offset[1], z * 1.1 + offset[0]) * np.minimum(1, 60 / z)
    return grit + np.float32(0.5) * stains


def _shadows(canvas: Canvas, casters: Iterable[Caster]) -> np.ndarray:
    """Share of each pixel of the finished picture that lies in a cast shadow."""
    mask = Image.new("L", canvas.image.size)
    pen = ImageDraw.Draw(mask)
    sun_x, sun_y, sun_z = canvas.light.sun
    for outline, low, high in casters:
        foot, head = (
            [(x - sun_x / sun_y * up, 0.0, max(z - sun_z / sun_y * up, -50.0)) for x, _, z in outline]
            for up in (low, high)
        )
        sides = zip(foot, [*foot[1:], foot[0]], [*head[1:], head[0]], head, strict=True)
        for shape in (foot, head, *sides):
            corners = canvas.outline(shape)
            if len(corners) >= 3:
                pen.polygon(corners, 255)
    return np.asarray(mask.reduce(SCALE), np.float32) / 255


def _markings(canvas: Canvas, layout: Layout, ground: Ground) -> None:
    stops = layout.crossing or (FAR, FAR)
    spans = ((NEAR, min(stops[0] - 1.0, 260.0)), (stops[1] + 1.0, 260.0))
    for near, far in spans:
        if far <= near:
            continue
        if any(direction < 0 for _, direction in layout.lanes):
            offsets = (-0.16, 0.16) if layout.double_line else (0.0,)
            for offset in offsets:
                middle = layout.centre + offset
                _line(canvas, middle, (near, far), ground.centre_line, 0 if layout.double_line else 4.0)
        for (one, way), (two, other) in pairwise(layout.lanes):
            if way == other:
                _line(canvas, (one + two) / 2, (near, far), ground.marking, 3.5)
    if layout.zebra and layout.crossing:
        _zebra(canvas, layout, layout.crossing, ground.marking)


def _zebra(canvas: Canvas, layout: Layout, crossing: tuple[float, float], colour: Colour) -> None:
    left, right = layout.sides
    for z in (crossing[0] - 4.5, crossing[1] + 1.0):
        x = left.kerb + 0.4
        while x < right.kerb - 0.5:
            _area(canvas, (x, x + 0.5), (z, z + 3.2), colour, ROAD)
            x += 1.05
    stop = crossing[0] - 6.0
    _area(canvas, (layout.centre + 0.2, right.kerb - 0.3), (stop, stop + 0.45), colour, ROAD)


def _rails(canvas: Canvas, middle: float, ground: Ground) -> None:
    _strip(canvas, middle - 1.5, middle + 1.5, dimmed(ground.paving, 0.8), RAIL_TRACK)
    for rail in (-0.75, 0.75):
        _strip(canvas, middle + rail - 0.06, middle + rail + 0.06, (70, 66, 64), RAIL_TRACK)


def _slabs(canvas: Canvas, side: Side, ground: Ground) -> None:
    inner, outer = side.at(side.verge), side.at(side.edge)
    for number in range(2, 16):
        _area(
            canvas, (inner, outer), (number * 1.6, number * 1.6 + 0.05), dimmed(ground.paving, 0.78), SIDEWALK
        )


def _line(canvas: Canvas, x: float, span: tuple[float, float], colour: Colour, dash: float) -> None:
    """A lane line; `dash` is its strokes' length, 0 for an unbroken one."""
    if not dash:
        _strip(canvas, x - 0.06, x + 0.06, colour, ROAD, span)
        return
    z = span[0]
    while z < min(span[1], 120.0):
        _area(canvas, (x - 0.07, x + 0.07), (z, min(z + dash, span[1])), colour, ROAD)
        z += dash * 2.6


def _strip(
    canvas: Canvas,
    one: float,
    two: float,
    colour: Colour,
    label: int,
    span: tuple[float, float] = (NEAR, FAR),
) -> None:
    """A band along the road that follows its bend."""
    stations = [span[0], *(z for z in STATIONS if span[0] < z < span[1]), span[1]]
    edge = [(one, 0.0, z) for z in stations] + [(two, 0.0, z) for z in reversed(stations)]
    canvas.fill(edge, colour, label)


def _area(
    canvas: Canvas, across: tuple[float, float], along: tuple[float, float], colour: Colour, label: int
) -> None:
    """A rectangle on the ground."""
    (left, right), (near, far) = across, along
    shape: Shape = [(left, 0.0, far), (right, 0.0, far), (right, 0.0, near), (left, 0.0, near)]
    canvas.fill(shape, colour, label)


@cache
def _tile() -> np.ndarray:
    """Smooth noise of unit variance, 256 x 256, the same for every picture."""
    rough = np.random.default_rng(0).standard_normal((64, 64), np.float32)
    wide = Image.fromarray(np.tile(rough, (3, 3))).resize((768, 768), Image.Resampling.BICUBIC)
    return np.asarray(wide, np.float32)[256:512, 256:512] * np.float32(1.3)


def _sample(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The tile, repeated without end."""
    return np.asarray(_tile()[x.astype(np.int32) & 255, z.astype(np.int32) & 255])


def _field(noise: np.random.Generator, cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise over the picture with so many cells across and down."""
    field = Image.fromarray(noise.standard_normal((cells[1], cells[0]), np.float32))
    return np.asarray(field.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    return pixels.repeat(SCALE, 0).repeat(SCALE, 1)
