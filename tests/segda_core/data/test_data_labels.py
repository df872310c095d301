from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from segda_core.classes import PALETTE
from segda_core.data.labels import label_counts, read_image, read_label, to_train_ids
from segda_core.errors import DataError

TRAIN_IDS = dict(
    zip(
        (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
        (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18),
        strict=True,
    )
)
"""Written out by hand from cityscapesScripts' table."""

EVERY_ID = np.arange(256, dtype=np.uint8).reshape(16, 16)


def write(path: Path, mode: str, pixels: np.ndarray) -> Path:
    picture = Image.fromarray(pixels)
    if mode == "P":
        picture.putpalette([value for colour in PALETTE for value in colour])
    picture.save(path)
    return path


def test_every_label_id():
    expected = [TRAIN_IDS.get(number, 255) for number in range(256)]
    assert to_train_ids(EVERY_ID).ravel().tolist() == expected
    assert EVERY_ID.ravel().tolist() == list(range(256))


@pytest.mark.parametrize("mode", ["L", "P"])
def test_grey_and_palette_labels_hold_ids(tmp_path, mode):
    path = write(tmp_path / "00001.png", mode, EVERY_ID)
    with Image.open(path) as picture:
        assert picture.mode == mode
    label = read_label(path)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, to_train_ids(EVERY_ID))
    size, counts = label_counts(path)
    assert size == (16, 16)
    assert counts.tolist() == [1] * 19


def test_train_id_files_by_name(tmp_path):
    path = write(tmp_path / "a_gtFine_labelTrainIds.png", "L", EVERY_ID)
    expected = [number if number < 19 else 255 for number in range(256)]
    assert read_label(path).ravel().tolist() == expected
    assert label_counts(path)[1].tolist() == [1] * 19


@pytest.mark.parametrize("train_ids", [False, True])
def test_a_grey_label_that_an_optimiser_gave_a_palette_is_refused(tmp_path, train_ids):
    grey = np.array([[7, 11], [11, 23]], dtype=np.uint8)
    values, indices = np.unique(grey, return_inverse=True)
    picture = Image.fromarray(indices.reshape(grey.shape).astype(np.uint8))
    picture.putpalette([value for value in values.tolist() for _ in "RGB"])
    path = tmp_path / ("a_gtFine_labelTrainIds.png" if train_ids else "00001.png")
    picture.save(path)
    for read in (read_label, label_counts):
        with pytest.raises(DataError, match=f"{path.name}: its palette holds greys"):
            read(path)


@pytest.mark.parametrize(
    "greys",
    [
        pytest.param(range(34), id="every index its own grey"),
        pytest.param([0] * 34, id="no colours at all"),
    ],
)
def test_a_palette_of_greys_that_says_nothing_else_leaves_the_indices(tmp_path, greys):
    ids = np.array([[7, 11], [11, 33]], dtype=np.uint8)
    picture = Image.fromarray(ids)
    picture.putpalette([grey for grey in greys for _ in "RGB"])
    picture.save(tmp_path / "00001.png")
    np.testing.assert_array_equal(read_label(tmp_path / "00001.png"), to_train_ids(ids))


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 6, 4)])
def test_colour_labels_are_refused(tmp_path, shape):
    path = write(tmp_path / "colour.png", "RGB", np.zeros(shape, dtype=np.uint8))
    for read in (read_label, label_counts):
        with pytest.raises(DataError, match=r"colour.png: label of mode RGBA?; ids are needed"):
            read(path)


def test_sixteen_bits_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 6), 7, dtype=np.uint16)).save(path)
    with pytest.raises(DataError, match=r"deep.png: label of mode I"):
        read_label(path)
    with pytest.raises(DataError, match=r"deep.png: image of mode I"):
        read_image(path)


def test_images_become_rgb(tmp_path):
    colour = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    np.testing.assert_array_equal(read_image(write(tmp_path / "c.png", "RGB", colour)), colour)
    grey = read_image(write(tmp_path / "g.png", "L", colour[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(colour[..., :1], 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(tmp_path, orientation):
    picture = Image.fromarray(np.arange(72, dtype=np.uint8).reshape(4, 6, 3))
    exif = picture.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    picture.save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as photo:
        upright = np.asarray(ImageOps.exif_transpose(photo))
    assert (upright.shape == (4, 6, 3)) == (orientation < 5)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_turns_nothing(tmp_path):
    picture = Image.fromarray(np.full((4, 6, 3), 100, dtype=np.uint8))
    for number, exif in enumerate(
        [b"Exif\0\0nothing", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0II*\0\x08\0\0\0\x09\0"]
    ):
        picture.save(tmp_path / f"{number}.jpg", exif=exif)
        assert read_image(tmp_path / f"{number}.jpg").shape == (4, 6, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_images_name_the_file(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 40, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=f"cut{suffix}: cannot be read"):
            read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_damaged_bytes_raise_nothing_but_data_errors(tmp_path, suffix):
    path = tmp_path / f"damaged{suffix}"
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    refused = 0
    for _ in range(100):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            read_image(path)
        except DataError:
            refused += 1
    assert refused > 5


def test_absurd_size_in_the_header(tmp_path):
    path = tmp_path / "bomb.jpg"
    Image.fromarray(np.zeros((16, 16, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes().replace(b"\x08\x00\x10\x00\x10\x03", b"\x08\xff\xff\xff\xff\x03"))
    with pytest.raises(DataError, match=r"bomb.jpg: cannot be read: Image size"):
        read_image(path)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"none.png: cannot be read"):
        read_image(tmp_path / "none.png")
