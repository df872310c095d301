"""What weather and camera do to a picture: a game's sun and grading, or a dashcam's haze and flaws."""

import math
import random

import numpy as np
from PIL import Image, ImageFilter

from segda_core.data.streets.draw import BUILDING, ROAD, SIDEWALK, SKY, TERRAIN, VEGETATION, Light

Pixels = np.ndarray
"""A picture: (H, W, 3) float32, 0-255."""


def _sun(elevation: float, turn: float) -> tuple[float, float, float]:
    """Unit vector towards the sun; turn 0 is ahead of the camera, angles in degrees."""
    up, across = math.radians(elevation), math.radians(turn)
    return math.cos(up) * math.sin(across), math.sin(up), math.cos(up) * math.cos(across)


def render_light(chance: random.Random) -> Light:
    """Clear weather: hard sun, deep sky, thin air; one picture in four at the golden hour."""
    turn = chance.choice((-1, 1)) * chance.uniform(60, 160)
    if chance.random() < 0.25:
        return Light(
            sun=_sun(chance.uniform(22, 32), turn),
            ambient=(0.58, 0.56, 0.64),
            direct=(0.82, 0.56, 0.32),
            shadow=0.5,
            sky_top=(84, 122, 190),
            sky_low=(255, 206, 150),
            clouds=chance.uniform(0.15, 0.45),
            haze=(246, 206, 166),
            haze_range=420.0,
        )
    return Light(
        sun=_sun(chance.uniform(38, 62), turn),
        ambient=(0.58, 0.61, 0.68),
        direct=(0.62, 0.58, 0.48),
        shadow=0.5,
        sky_top=(44, 116, 214),
        sky_low=(170, 214, 246),
        clouds=chance.uniform(0.0, 0.45),
        haze=(188, 216, 240),
        haze_range=460.0,
    )


def camera_light(chance: random.Random) -> Light:
    """Mostly a covered sky and thick air; one picture in three with a weak sun."""
    turn, level = chance.choice((-1, 1)) * chance.uniform(20, 160), chance.uniform(0.82, 1.0)
    if chance.random() < 0.33:
        return Light(
            sun=_sun(chance.uniform(18, 40), turn),
            ambient=(0.52 * level, 0.55 * level, 0.60 * level),
            direct=(0.62, 0.56, 0.46),
            shadow=0.42,
            sky_top=(150, 176, 204),
            sky_low=(226, 230, 232),
            clouds=chance.uniform(0.3, 0.7),
            haze=(206, 208, 206),
            haze_range=190.0,
        )
    grey = chance.uniform(190, 236)
    return Light(
        sun=_sun(70, turn),
        ambient=(0.84 * level, 0.86 * level, 0.88 * level),
        direct=(0.1, 0.1, 0.1),
        shadow=0.12,
        sky_top=(grey * 0.88, grey * 0.91, grey * 0.95),
        sky_low=(grey, grey, grey),
        clouds=0.9,
        haze=(grey * 0.9, grey * 0.91, grey * 0.92),
        haze_range=chance.uniform(95, 170),
    )


def finish_render(picture: Pixels, labels: np.ndarray, noise: np.random.Generator) -> Pixels:
    """A game's grading: contrast, saturation, a warm tint, a little glow, sharp edges."""
    picture = picture * np.float32(noise.uniform(0.97, 1.08))
    luma = _luma(picture)
    picture = luma + (picture - luma) * np.float32(1.22)
    picture = 128 + (picture - 124) * np.float32(1.12)
    picture = picture * np.array((1.03, 1.0, 0.95), np.float32)
    glow = _blurred(np.clip(picture - 190, 0, 65), 3.0)
    sharp = _image(picture + 0.6 * glow).filter(ImageFilter.UnsharpMask(1.0, 60, 2))
    return np.asarray(sharp, np.float32)


TEXTURE = np.full(256, 0.04, np.float32)
TEXTURE[[ROAD, SIDEWALK, BUILDING]] = (0.03, 0.05, 0.07)
TEXTURE[SKY] = 0.004
TEXTURE[[VEGETATION, TERRAIN]] = (0.19, 0.12)
"""Strength of a camera's surface texture by label id."""


def finish_camera(picture: Pixels, labels: np.ndarray, noise: np.random.Generator) -> Pixels:
    """A dashcam: rough surfaces, pale colours, a tint, glare, soft focus, dark corners, sensor noise."""
    height, width = labels.shape
    coarse = _smooth_field(noise, (height // 5, width // 5), (width, height))
    grain = noise.standard_normal((height, width), np.float32) * np.float32(0.7) + coarse
    texture = TEXTURE[labels] * (picture.mean(2) < 215)
    picture = picture * (1 + texture * grain)[..., None]
    luma = _luma(picture)
    picture = luma + (picture - luma) * np.float32(noise.uniform(0.8, 1.02))
    picture = picture * (
        np.float32(noise.uniform(1.08, 1.35)) * noise.uniform(0.95, 1.05, 3).astype(np.float32)
    )
    picture = picture * np.array((0.97, 1.02, 0.96), np.float32)
    picture = 14 + picture * np.float32(0.9)
    rows = np.linspace(1, 0, height, dtype=np.float32)[:, None]
    glare = _smooth_field(noise, (3, 5), (width, height)) * 5 + rows**2 * np.float32(noise.uniform(0, 24))
    picture = _blurred(picture + glare[..., None], noise.uniform(0.4, 0.7)) * _vignette(height, width)
    spread = np.float32(noise.uniform(1.5, 3.5))
    picture = picture + noise.standard_normal((height, width, 1), np.float32) * spread
    colour_noise = noise.standard_normal(picture.shape, np.float32) * (spread * np.float32(0.5))
    return np.asarray(picture + colour_noise)


def _luma(picture: Pixels) -> Pixels:
    red, green, blue = (picture[..., [channel]] for channel in range(3))
    return np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue


def _image(picture: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def _blurred(picture: Pixels, radius: float) -> Pixels:
    return np.asarray(_image(picture).filter(ImageFilter.GaussianBlur(radius)), np.float32)


def _vignette(height: int, width: int) -> Pixels:
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return (1 - np.float32(0.11) * (across**2 + down**2) ** 2)[..., None]


def _smooth_field(noise: np.random.Generator, cells: tuple[int, int], size: tuple[int, int]) -> Pixels:
    field = Image.fromarray(noise.standard_normal(cells, np.float32))
    return np.asarray(field.resize(size, Image.Resampling.BICUBIC), np.float32)
