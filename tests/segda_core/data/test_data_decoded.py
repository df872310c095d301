"""Samples are the same to the last bit without the image cache, while it fills, and from it."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from domains import save
from PIL import Image

from segda_core.data.dataset import ValidationSet
from segda_core.data.decoded import DecodedImages, domain_root
from segda_core.data.labels import read_image, read_label
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.data.store import Store
from segda_core.data.transforms import resize, resize_label
from segda_core.errors import DataError

PLAIN = {"mirror": False}
CROP = {"crop": [24, 16], "jitter": 0.3}
RESIZED = {"resize": [40, 24], **CROP}
SCALED = {**RESIZED, "scale": [0.7, 1.4], "blur": 0.5, "autoaugment": "with_invert"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("SEGDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEGDA_CACHE_GB", raising=False)
    return tmp_path / "cache"


def entries(cache):
    return sorted(str(entry.path) for entry in Store(cache, 1e9).entries())


def samples(config, **inputs):
    """Images, labels and notes of every step."""
    loader = build_loader(config, select_images(config, **inputs))
    parts = []
    for micro_batches in loader:
        for batch in micro_batches:
            streams = [getattr(batch, name) for name in config.streams]
            parts += [part for stream in streams for part in (stream.images, stream.labels)]
    return parts, loader.notes


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one is other is None or torch.equal(one, other)


def forbid_decoding(monkeypatch):
    def never(path):
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr("segda_core.data.decoded.read_image", never)
    monkeypatch.setattr("segda_core.data.decoded.read_label", never)


@pytest.mark.parametrize("method", ["joint", "adaptsegnet"])
@pytest.mark.parametrize(
    "transform", [PLAIN, CROP, RESIZED, SCALED], ids=["plain", "crop", "resized", "scaled"]
)
def test_samples_do_not_depend_on_the_cache(drawn_pair, configure, cache, monkeypatch, transform, method):
    config = configure(drawn_pair, method, transforms={"source": transform, "target": transform}, steps=8)
    monkeypatch.setenv("SEGDA_CACHE_GB", "0")
    without, notes = samples(config)
    assert entries(cache) == [] and "has reached its 0 GB" in notes.uncached
    monkeypatch.delenv("SEGDA_CACHE_GB")
    filling, notes = samples(config)
    assert not notes.uncached
    assert len(entries(cache)) == 12 * 2 + 6 * (2 if method == "joint" else 1)
    forbid_decoding(monkeypatch)
    full, _ = samples(config)
    assert_same(filling, without)
    assert_same(full, without)


@pytest.mark.processes
def test_loader_processes_fill_it_together(drawn_pair, configure, cache, monkeypatch):
    config = configure(drawn_pair, transforms={"source": SCALED, "target": SCALED}, workers=2)
    filling, _ = samples(config)
    forbid_decoding(monkeypatch)
    full, _ = samples(config)
    assert_same(full, filling)


def test_a_full_cache_is_used_for_what_it_holds_and_says_so_once(
    drawn_pair, configure, cache, monkeypatch, caplog
):
    config = configure(drawn_pair, steps=8)
    monkeypatch.setenv("SEGDA_CACHE_GB", "0.00005")
    part = samples(config)[0]
    assert 0 < len(entries(cache)) < 36
    assert [record.message for record in caplog.records] == [
        "images that are not in the cache are decoded every time: "
        f"{cache} has reached its 5e-05 GB (SEGDA_CACHE_GB)"
    ]
    monkeypatch.delenv("SEGDA_CACHE_GB")
    whole, _ = samples(config)
    assert_same(part, whole)


def test_jpeg_images(pair, configure, cache, monkeypatch):
    for path in list((pair / "game/images").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"), quality=80)
        path.unlink()
    config = configure(pair, transforms={"source": RESIZED, "target": RESIZED})
    filling, _ = samples(config)
    forbid_decoding(monkeypatch)
    assert_same(samples(config)[0], filling)


def test_pseudo_labels_of_another_size_and_of_another_parent(pair, configure, cache, tmp_path, monkeypatch):
    config = configure(pair, "pseudo_label", transforms={"target": PLAIN})
    parents = [tmp_path / "one/labels", tmp_path / "two/labels"]
    for number, folder in enumerate(parents):
        for record in select_images(config).target:
            ids = np.full((16, 32), number, dtype=np.uint8)
            save(folder / f"{record.name}_labelTrainIds.png", ids)
    first, notes = samples(config, outputs={"labels": parents[0]})
    assert not notes.resized
    second, _ = samples(config, outputs={"labels": parents[1]})
    for number, parts in enumerate((first, second)):
        assert {value for label in parts[1::2] for value in label.unique().tolist()} == {number}
    assert len(entries(cache)) == 6 * 3  # images once, labels of either parent
    forbid_decoding(monkeypatch)
    assert_same(samples(config, outputs={"labels": parents[0]})[0], first)


def test_bad_images_are_skipped_and_resized_labels_noted_as_without(pair, configure, cache):
    damaged = pair / "game/images/00003.png"
    damaged.write_bytes(damaged.read_bytes()[:-60])
    label = pair / "game/labels/00005.png"
    Image.open(label).resize((32, 16)).save(label)
    config = configure(pair, "source_only", on_bad="skip", transforms={"source": PLAIN})
    filling, noted = samples(config)
    full, again = samples(config)
    assert_same(full, filling)
    assert noted == again
    assert list(again.skipped) == [str(damaged)]
    assert again.resized == {str(label): "(32, 16), image (64, 32)"}
    assert len(entries(cache)) == 22


def rewritten_with_other_pixels(path):
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] = 255 - pixels[0, 0]
    Image.fromarray(pixels).save(path)


def same_size_and_times(path):
    """What no time shows: other pixels in a file of the same length, with its times set back."""
    before = path.stat()
    pixels = np.asarray(Image.open(path))
    for value in range(256):
        changed = pixels.copy()
        changed[0, 0, 0] = value
        Image.fromarray(changed).save(path, compress_level=0)
        if value != pixels[0, 0, 0] and path.stat().st_size == before.st_size:
            break
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [rewritten_with_other_pixels, same_size_and_times])
def test_a_changed_image_is_read_anew(pair, cache, change):
    path = pair / "game/images/00003.png"
    Image.open(path).save(path, compress_level=0)
    store = Store(cache, 1e9)
    old = DecodedImages(store, (32, 16)).image(path).pixels
    change(path)
    new = DecodedImages(store, (32, 16)).image(path).pixels
    assert not np.array_equal(old, new)
    np.testing.assert_array_equal(new, resize(read_image(path), (32, 16)))


def test_an_image_changed_while_it_is_decoded_is_not_kept(pair, cache, monkeypatch):
    path = pair / "game/images/00003.png"

    def read_image(path):
        rewritten_with_other_pixels(path)
        return np.asarray(Image.open(path))

    monkeypatch.setattr("segda_core.data.decoded.read_image", read_image)
    DecodedImages(Store(cache, 1e9), None).image(path)
    assert entries(cache) == []


def test_sizes_and_kinds_are_kept_apart(pair, cache):
    store = Store(cache, 1e9)
    image, label = pair / "game/images/00003.png", pair / "game/labels/00003.png"
    for size in (None, (32, 16)):
        images = DecodedImages(store, size)
        for _ in range(2):
            wanted = read_image(image) if size is None else resize(read_image(image), size)
            np.testing.assert_array_equal(images.image(image).pixels, wanted)
            wanted = read_label(label) if size is None else resize_label(read_label(label), size)
            np.testing.assert_array_equal(images.label(label, size).pixels, wanted)
            assert images.label(label, size).file_size == images.image(image).file_size == (64, 32)
    with pytest.raises(DataError, match="label of mode RGB"):
        DecodedImages(store, None).label(image)
    assert len(entries(cache)) == 4


def test_a_missing_image_fails_by_name_and_a_cleared_one_is_decoded_again(pair, cache):
    images = DecodedImages(Store(cache, 1e9), None)
    path = pair / "game/images/00003.png"
    first = images.image(path).pixels
    assert images.store.clear() > 0
    np.testing.assert_array_equal(images.image(path).pixels, first)
    assert len(entries(cache)) == 1
    with pytest.raises(DataError, match=r"^/.*none.png: cannot be read"):
        images.image(pair / "none.png")


def test_validation_is_the_files_from_the_cache_too(drawn_pair, configure, cache, monkeypatch):
    records = select_images(configure(drawn_pair)).validation
    decoded = [ValidationSet(records)[index] for index in range(4)]
    forbid_decoding(monkeypatch)
    for index, (image, label, _) in enumerate(decoded):
        again = ValidationSet(records)[index]
        np.testing.assert_array_equal(again[0], image)
        np.testing.assert_array_equal(again[1], label)


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/data/gta5/images/00001.png", "/data/gta5"),
        ("/images/city/leftImg8bit/train/a/a_1_leftImg8bit.png", "/images/city"),
        ("/runs/t/attempts/1/images/images/1.png", "/runs/t/attempts/1/images"),
        ("/runs/t/attempts/1/labels/a/a_1_labelTrainIds.png", "/runs/t/attempts/1"),
        ("/somewhere/1.png", "/somewhere"),
    ],
)
def test_the_domain_of_a_file(path, root):
    assert str(domain_root(Path(path))) == root
