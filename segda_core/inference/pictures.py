"""Predictions to look at: train ids in Cityscapes' colours, overlays, and a trial's preview."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segda_core.classes import PALETTE
from segda_core.data.dataset import ValidationSet
from segda_core.data.index import ImageRecord
from segda_core.data.labels import Pixels
from segda_core.inference.predictor import Predictor

OPACITY = 0.5
"""Of the colours in an overlay."""

PREVIEW_IMAGES = 4
PREVIEW_WIDTH = 384
"""Pixels of each picture in the preview."""
GAP = 4

COLOURS = np.zeros((256, 3), dtype=np.uint8)
COLOURS[: len(PALETTE)] = PALETTE


def colourise(train_ids: Pixels) -> Pixels:
    """(height, width) train ids as RGB; ignored pixels are black."""
    return COLOURS[train_ids]


def overlay(image: Pixels, train_ids: Pixels) -> Pixels:
    """The image with the classes' colours laid over it; ignored pixels stay as they are."""
    mixed = (1 - OPACITY) * image + OPACITY * colourise(train_ids)
    known = (train_ids < len(PALETTE))[..., None]
    return np.where(known, mixed.round(), image).astype(np.uint8)


def png(pixels: Pixels) -> bytes:
    """A grey or RGB picture as a file, packed fast rather than small."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png", compress_level=1)
    return stream.getvalue()


def save_preview(path: Path, predictor: Predictor, records: Sequence[ImageRecord]) -> None:
    """Image, truth and prediction side by side, of a few images spread over the validation split."""
    chosen = np.unique(np.linspace(0, len(records) - 1, PREVIEW_IMAGES).round().astype(int))
    validation = ValidationSet(records)
    rows = []
    for index in chosen:
        image, truth, _ = validation[int(index)]
        prediction = predictor.predict([image], (truth.shape[1], truth.shape[0]))[0].cpu().numpy()
        rows.append([image, colourise(truth), colourise(prediction)])
    _tiled(rows).save(path)


def _tiled(rows: list[list[Pixels]]) -> Image.Image:
    """Pictures in a grid on white, each brought to one width; rows are as high as their tallest picture."""
    pictures = [[_at_width(Image.fromarray(pixels), PREVIEW_WIDTH) for pixels in row] for row in rows]
    heights = [max(picture.height for picture in row) for row in pictures]
    width = len(rows[0]) * (PREVIEW_WIDTH + GAP) - GAP
    sheet = Image.new("RGB", (width, sum(heights) + GAP * (len(rows) - 1)), "white")
    top = 0
    for row, height in zip(pictures, heights, strict=True):
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * (PREVIEW_WIDTH + GAP), top))
        top += height + GAP
    return sheet


def _at_width(picture: Image.Image, width: int) -> Image.Image:
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.NEAREST)
