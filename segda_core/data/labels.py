"""Reads image and label files; the only place that knows how label ids become train ids."""

import io
import struct
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import ExifTags, Image

from segda_core.classes import IGNORE_INDEX, LABEL_IDS, NUM_CLASSES
from segda_core.data.index import TRAIN_ID_ENDING
from segda_core.errors import DataError

Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Counts: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for files that are cut off, damaged or of absurd size."""

TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what brings the file's pixels upright; 1 is upright."""


def _table(ids: tuple[int, ...]) -> Pixels:
    """256 entries, all ignored but `ids`, which become 0, 1, 2, ..."""
    table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
    table[list(ids)] = np.arange(len(ids), dtype=np.uint8)
    return table


FROM_LABEL_IDS = _table(LABEL_IDS)
TO_LABEL_IDS = np.zeros(256, dtype=np.uint8)
TO_LABEL_IDS[:NUM_CLASSES] = LABEL_IDS
FROM_TRAIN_IDS = _table(tuple(range(NUM_CLASSES)))


def to_train_ids(label_ids: Pixels) -> Pixels:
    """Cityscapes label ids to train ids; every id that is none of the 19 classes becomes 255."""
    return _remap(FROM_LABEL_IDS, label_ids)


def read_image(path: Path) -> Pixels:
    """RGB (height, width, 3), turned as its EXIF says: photos are looked at, and labelled, upright."""
    picture = _upright(_load(path))
    if picture.mode not in ("RGB", "L", "P", "RGBA"):
        raise DataError(f"{path}: image of mode {picture.mode}; 8-bit colour or grey is needed")
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def read_label(path: Path) -> Pixels:
    """Train ids (height, width), 255 ignored; `*_labelTrainIds.png` holds train ids, all others label ids."""
    return _remap(_ids_table(path), np.asarray(_load_label(path)))


def label_ids_file(path: Path) -> bytes:
    """A label's file, as every layout reads it: of train ids a new one with label ids."""
    if not path.name.endswith(TRAIN_ID_ENDING):
        return path.read_bytes()
    stream = io.BytesIO()
    Image.fromarray(_remap(TO_LABEL_IDS, np.asarray(_load_label(path)))).save(stream, "png")
    return stream.getvalue()


def label_counts(path: Path) -> tuple[tuple[int, int], Counts]:
    """((width, height), pixels of each of the 19 train ids) of one label."""
    picture = _load_label(path)
    counts = np.zeros(256, dtype=np.int64)
    np.add.at(counts, _ids_table(path), picture.histogram())
    return picture.size, counts[:NUM_CLASSES]


def label_size(path: Path) -> tuple[int, int]:
    """(width, height) of one label, from the file's header alone."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _remap(table: Pixels, ids: Pixels) -> Pixels:
    """By `translate`, four times as fast as an index into the table."""
    train_ids = bytearray(np.ascontiguousarray(ids)).translate(table.tobytes())
    return np.frombuffer(train_ids, dtype=np.uint8).reshape(ids.shape)


def _ids_table(path: Path) -> Pixels:
    return FROM_TRAIN_IDS if path.name.endswith(TRAIN_ID_ENDING) else FROM_LABEL_IDS


def _load_label(path: Path) -> Image.Image:
    """A picture whose bytes are ids: palette indices are, colours are not."""
    picture = _load(path)
    if picture.mode not in ("P", "L"):
        raise DataError(
            f"{path}: label of mode {picture.mode}; ids are needed: an 8-bit grey or palette PNG, not colours"
        )
    if picture.mode == "P" and _greys_out_of_order(picture.getpalette() or []):
        raise DataError(
            f"{path}: its palette holds greys that are not its indices, so either may be the ids "
            "(optimisers make such files out of grey ones): save it as an 8-bit grey PNG, without a palette"
        )
    return picture


def _greys_out_of_order(palette: list[int]) -> bool:
    """Whether an RGB palette holds nothing but greys, each once, and not every index's own."""
    red, green, blue = palette[::3], palette[1::3], palette[2::3]
    return red == green == blue and len(set(red)) == len(red) and red != list(range(len(red)))


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except UNREADABLE:  # a damaged EXIF beside sound pixels
        return picture
    return picture.transpose(TURNED[orientation]) if orientation in TURNED else picture


def _load(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
