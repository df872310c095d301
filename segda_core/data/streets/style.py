"""The two looks: what each domain's streets are made of, and how they are seen."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segda_core.data.streets.draw import Colour, Light
from segda_core.data.streets.finish import Pixels, camera_light, finish_camera, finish_render, render_light
from segda_core.data.streets.trees import TreeKind

Range = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """Everything that differs between the domains; ranges are drawn from evenly for each picture."""

    name: str
    seed: int
    light: Callable[[random.Random], Light]
    finish: Callable[[Pixels, np.ndarray, np.random.Generator], Pixels]

    focal: Range
    camera_height: Range
    horizon: Range
    yaw: float
    roll: float
    bend: float
    """Largest amount either way."""
    bonnet: bool
    """Whether the camera sees the car that carries it."""

    lanes: tuple[int, ...]
    """Lanes in each direction, drawn from."""
    lane_width: Range
    sidewalk: Range
    facade: Range
    """Metres from the sidewalk to the buildings."""
    parking: float
    """Chance of parked cars along a kerb."""
    traffic: Range
    """Metres between vehicles of one lane."""
    walkers: Range
    crossing: float
    """Chance of a side street."""
    sides: tuple[str, ...]
    """What may line a side: city, suburb, park, works."""
    pitched: float
    """Chance of a pitched roof on a low house."""
    signal_arms: float
    """Chance of traffic lights on arms over the road."""
    double_line: bool
    """Whether a double line parts the directions."""

    asphalt: tuple[Colour, ...]
    marking: Colour
    centre_line: Colour
    paving: tuple[Colour, ...]
    kerb: Colour
    grass: tuple[Colour, ...]
    foliage: tuple[Colour, ...]
    trees: tuple[TreeKind, ...]
    walls: tuple[Colour, ...]
    trims: tuple[Colour, ...]
    roofs: tuple[Colour, ...]
    storeys: tuple[int, int]
    masonry: tuple[Colour, ...]
    fences: tuple[Colour, ...]
    cars: tuple[Colour, ...]
    car_models: tuple[str, ...]
    big: tuple[tuple[Colour, Colour], ...]
    """Body and accent of trucks, buses and trams."""
    clothes: tuple[Colour, ...]
    steel: tuple[Colour, ...]
    signs: tuple[str, ...]
    ground_grain: float
    """Strength of the texture of road and pavement."""


def colours(text: str) -> tuple[Colour, ...]:
    """Colours from their names in hexadecimal, `#rrggbb`."""
    return tuple((int(name[1:3], 16), int(name[3:5], 16), int(name[5:7], 16)) for name in text.split())


RENDER = Look(
    name="render",
    seed=1,
    light=render_light,
    finish=finish_render,
    focal=(185, 225),
    camera_height=(1.5, 2.3),
    horizon=(46, 58),
    yaw=0.06,
    roll=0.0,
    bend=0.0007,
    bonnet=False,
    lanes=(1, 2, 2, 3),
    lane_width=(3.4, 3.9),
    sidewalk=(2.6, 4.4),
    facade=(0.2, 2.5),
    parking=0.35,
    traffic=(14, 60),
    walkers=(4, 10),
    crossing=0.4,
    sides=("city", "city", "city", "suburb", "park", "works"),
    pitched=0.4,
    signal_arms=0.7,
    double_line=True,
    asphalt=colours("#626268 #706e70 #54565e"),
    marking=(238, 238, 232),
    centre_line=(244, 190, 40),
    paving=colours("#c4beb2 #cec6b8 #b6b6b4"),
    kerb=(214, 212, 206),
    grass=colours("#6a9c36 #7ca03c #949e4e"),
    foliage=colours("#3e8e2c #54982e #2e7a36"),
    trees=("palm", "palm", "broad", "broad", "bush"),
    walls=colours("#e2be8c #f0e0be #cc744c #84bcbc #f2f0e8 #b05a42 #e6a496 #789ec4 #f6ce78 #96a0ac"),
    trims=colours("#f6f2e6 #78543e #5a6474 #d6cebc"),
    roofs=colours("#b05236 #804a3a #60646e"),
    storeys=(2, 12),
    masonry=colours("#ceba9c #ba6c50 #d6d4ce"),
    fences=colours("#ecece6 #966c46 #c4c8cc"),
    cars=colours("#cc181a #1842c4 #f4c018 #f4f4f2 #1c1c20 #ec7418 #228c46 #96c4e6 #b8babe #8a8c92 #3a3c44"),
    car_models=("sedan", "sedan", "coupe", "off_roader", "pickup", "van"),
    big=(
        ((210, 40, 36), (244, 244, 240)),
        ((244, 150, 30), (60, 60, 66)),
        ((40, 110, 200), (240, 236, 220)),
        ((244, 244, 240), (30, 140, 90)),
    ),
    clothes=colours("#dc282c #285ad2 #fad63c #f8f8f4 #28aa6e #f078aa #24242c"),
    steel=colours("#808488 #5e6266 #4c5450"),
    signs=("stop", "diamond", "speed", "street", "yield"),
    ground_grain=0.03,
)
"""A game: wide sunny avenues with palms, pastel walls, glossy cars."""

CAMERA = Look(
    name="camera",
    seed=2,
    light=camera_light,
    finish=finish_camera,
    focal=(235, 285),
    camera_height=(1.15, 1.45),
    horizon=(50, 64),
    yaw=0.1,
    roll=0.022,
    bend=0.0016,
    bonnet=True,
    lanes=(1, 1, 1, 2),
    lane_width=(2.8, 3.3),
    sidewalk=(2.2, 4.0),
    facade=(0.0, 1.2),
    parking=0.5,
    traffic=(16, 50),
    walkers=(4, 13),
    crossing=0.5,
    sides=("city", "city", "city", "city", "suburb", "park", "works"),
    pitched=0.8,
    signal_arms=0.3,
    double_line=False,
    asphalt=colours("#706e6c #5c5c5c #807c76 #686462"),
    marking=(206, 206, 200),
    centre_line=(206, 206, 200),
    paving=colours("#86827c #76706a #8e8478"),
    kerb=(150, 148, 142),
    grass=colours("#5e7038 #707640 #526a36"),
    foliage=colours("#48682e #587434 #707438 #3e5e30"),
    trees=("broad", "broad", "broad", "conifer", "bush"),
    walls=colours("#a89c8a #beb4a2 #846052 #948e88 #706a64 #b0a078 #9c8270 #c6c2ba"),
    trims=colours("#cec8be #625a54 #a8a094 #464242"),
    roofs=colours("#743e32 #543832 #46464a"),
    storeys=(3, 6),
    masonry=colours("#847a70 #765448 #96928c"),
    fences=colours("#4a4e4c #70604e #8a8c8c"),
    cars=colours("#1a1a1e #96989c #c4c6c8 #4e525a #243460 #7c1c1e #3c3e3c #d6d6d2 #2c4a7c"),
    car_models=("hatchback", "hatchback", "estate", "sedan", "van", "off_roader"),
    big=(
        ((196, 160, 40), (60, 60, 62)),
        ((178, 40, 40), (206, 204, 196)),
        ((196, 196, 192), (52, 84, 130)),
        ((66, 96, 84), (200, 196, 180)),
    ),
    clothes=colours("#282a30 #46464c #222c46 #6e2c2c #7e786c #a8a8a6 #3e4a3a"),
    steel=colours("#707272 #545856 #5c5448"),
    signs=("limit", "no_entry", "warning", "yield", "priority", "crossing", "keep_right"),
    ground_grain=0.055,
)
"""A dashcam in an old town: narrow grey streets, parked cars, low view, thick air."""

LOOKS = {look.name: look for look in (RENDER, CAMERA)}
