"""Paint: faces in metres become pixels of a picture and, at the same time, of its labels."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from segda_core.classes import LABEL_IDS
from segda_core.data.streets.geometry import (
    HEIGHT,
    NEAR,
    SCALE,
    WIDTH,
    Box,
    Point,
    Shape,
    View,
    clockwise,
    cut_near,
    normal,
)

(
    ROAD,
    SIDEWALK,
    BUILDING,
    WALL,
    FENCE,
    POLE,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    VEGETATION,
    TERRAIN,
    SKY,
    PERSON,
    RIDER,
    CAR,
    TRUCK,
    BUS,
    TRAIN,
    MOTORCYCLE,
    BICYCLE,
) = LABEL_IDS
UNLABELED, EGO_VEHICLE, OUT_OF_ROI, STATIC, GROUND, RAIL_TRACK = 0, 1, 3, 4, 6, 10
"""Label ids outside the 19 classes: ignored in training and scoring."""

Colour = tuple[float, float, float]
"""Red, green, blue, 0-255."""


@dataclass(frozen=True)
class Light:
    """Sun, sky and air of one picture."""

    sun: Point
    """Unit vector towards the sun."""
    ambient: Colour
    """Light from everywhere, as a factor."""
    direct: Colour
    """Light of the sun on a face that looks at it, as a factor."""
    shadow: float
    """Share of the light missing in a cast shadow."""
    sky_top: Colour
    sky_low: Colour
    clouds: float
    """Share of the sky they cover."""
    haze: Colour
    haze_range: float
    """Metres over which the haze takes 63 percent."""

    def shade(self, shape: Shape) -> Colour:
        """Factor on the colour of a lit face."""
        nx, ny, nz = normal(shape)
        facing = max(0.0, nx * self.sun[0] + ny * self.sun[1] + nz * self.sun[2])
        sky = 0.82 + 0.18 * ny - 0.05 * nz
        ambient, direct = self.ambient, self.direct
        return (
            ambient[0] * sky + direct[0] * facing,
            ambient[1] * sky + direct[1] * facing,
            ambient[2] * sky + direct[2] * facing,
        )


class Canvas:
    """Picture and labels in one RGBA image: the fourth channel holds the label id."""

    def __init__(self, view: View, light: Light) -> None:
        self.view = view
        self.light = light
        self.image = Image.new("RGBA", (WIDTH * SCALE, HEIGHT * SCALE))
        self._pen = ImageDraw.Draw(self.image)

    def fill(self, shape: Shape, colour: Colour, label: int) -> None:
        """Fill a shape with exactly this colour."""
        self._fill(self.outline(shape), colour, label, 0.0)

    def polygon(self, shape: Shape, colour: Colour, label: int) -> None:
        """Fill a shape with a colour that is already lit; haze is added."""
        self._fill(self.outline(shape), colour, label, shape[len(shape) // 2][2])

    def face(self, shape: Shape, colour: Colour, label: int) -> None:
        """Fill a shape with a lit colour if its outside is seen."""
        outline = self.outline(shape)
        if clockwise(outline):
            self._fill(outline, tinted(colour, self.light.shade(shape)), label, shape[len(shape) // 2][2])

    def box(self, box: Box, colour: Colour, label: int) -> None:
        """Paint every face of a box that is seen."""
        for shape in box.faces:
            self.face(shape, colour, label)

    def sees(self, shape: Shape) -> bool:
        """Whether a shape shows its outside."""
        return clockwise(self.outline(shape))

    def blob(self, centre: Point, radii: tuple[float, float], colour: Colour, label: int) -> None:
        """Fill an ellipse that looks at the camera; radii in metres."""
        if centre[2] < NEAR:
            return
        u, v = self.view.pixel(*centre)
        width, height = (max(self.view.size(radius, centre[2]), 0.5) for radius in radii)
        self._pen.ellipse(
            (u - width, v - height, u + width, v + height), self._paint(colour, label, centre[2])
        )

    def rod(self, start: Point, end: Point, width: float, colour: Colour, label: int) -> None:
        """Draw a bar; its width in metres never falls below one pixel of the finished picture."""
        if min(start[2], end[2]) < NEAR:
            return
        pixels = max(self.view.size(width, (start[2] + end[2]) / 2), 1.0 * SCALE)
        ends = (self.view.pixel(*start), self.view.pixel(*end))
        self._pen.line(ends, self._paint(colour, label, start[2]), max(1, round(pixels)))

    def replace(self, pixels: np.ndarray, top: int) -> None:
        """Overwrite the picture from canvas row `top` down with (H, W, 4) bytes."""
        self.image.paste(Image.fromarray(pixels), (0, top))

    def picture(self) -> np.ndarray:
        """The finished picture: (HEIGHT, WIDTH, 3) float32, each pixel the mean of its canvas pixels."""
        return np.asarray(self.image.convert("RGB").reduce(SCALE), np.float32)

    def labels(self) -> np.ndarray:
        """Label ids (HEIGHT, WIDTH) uint8, taken at the middle of each pixel."""
        return np.asarray(self.image)[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE, 3].copy()

    def outline(self, shape: Shape) -> list[tuple[float, float]]:
        """Canvas positions of a shape's corners, cut off near the camera."""
        for point in shape:
            if point[2] < NEAR:
                shape = cut_near(shape)
                break
        pixel = self.view.pixel
        return [pixel(x, y, z) for x, y, z in shape]

    def _fill(self, outline: list[tuple[float, float]], colour: Colour, label: int, z: float) -> None:
        if len(outline) >= 3:
            self._pen.polygon(outline, self._paint(colour, label, z))

    def _paint(self, colour: Colour, label: int, z: float) -> tuple[int, int, int, int]:
        clear = math.exp(-max(z, 0.0) / self.light.haze_range)
        haze, share = self.light.haze, 1 - clear
        red = int(colour[0] * clear + haze[0] * share)
        green = int(colour[1] * clear + haze[1] * share)
        blue = int(colour[2] * clear + haze[2] * share)
        if 0 <= red <= 255 and 0 <= green <= 255 and 0 <= blue <= 255:
            return red, green, blue, label
        return min(255, max(0, red)), min(255, max(0, green)), min(255, max(0, blue)), label


def tinted(colour: Colour, factor: Colour) -> Colour:
    """A colour under a light."""
    return colour[0] * factor[0], colour[1] * factor[1], colour[2] * factor[2]


def dimmed(colour: Colour, factor: float) -> Colour:
    """A darker colour, or a brighter one where the factor is above 1."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor
