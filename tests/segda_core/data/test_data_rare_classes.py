"""Rare-class sampling on hand-made counts, and the streams it gives."""

import os
from collections import Counter

import numpy as np
import pytest
import torch

from segda_core.config import RareClassConfig
from segda_core.data.cache import kept
from segda_core.data.dataset import StreamReader, sample_names
from segda_core.data.labels import read_label
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.data.rare_classes import RareClassOrder, class_counts, class_probabilities
from segda_core.data.store import open_store
from segda_core.errors import DataError

EASY = RareClassConfig(temperature=0.2, min_pixels=50, crop_share=0.5)


def counts(**images):
    """One row for each keyword: {train id: pixels}."""
    rows = np.zeros((len(images), 19), dtype=np.int64)
    for row, pixels in zip(rows, images.values(), strict=True):
        for number, count in pixels.items():
            row[number] = count
    return rows


STREET = counts(
    plain={0: 900, 2: 100}, bus={0: 500, 15: 200, 2: 100}, little={0: 1000, 15: 50}, rider={0: 600, 12: 60}
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGDA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("temperature", [0.01, 0.2, 1.0])
def test_probabilities_by_hand(temperature):
    total = STREET.sum()
    shares = {number: STREET[:, number].sum() / total for number in (0, 2, 12, 15)}
    weights = {number: np.exp((1 - share) / temperature) for number, share in shares.items()}
    got = class_probabilities(STREET, temperature, np.array(list(weights)))
    assert got == pytest.approx([weight / sum(weights.values()) for weight in weights.values()])


def test_low_temperatures_neither_overflow_nor_leave_nothing_to_draw():
    two_classes = np.zeros((1, 19), dtype=np.int64)
    two_classes[0, :2] = (10**12, 1)
    assert class_probabilities(two_classes, 0.001, np.array([0, 1])) == pytest.approx([0.0, 1.0])
    order = RareClassOrder(two_classes, RareClassConfig(temperature=0.001), seed=0)  # class 1 is too small
    assert (order.classes.tolist(), order.probabilities.tolist()) == ([0], [1.0])


def test_classes_and_images_are_drawn_as_often_as_they_should():
    order = RareClassOrder(STREET, EASY, seed=3)
    drawn = Counter()
    for step in range(1000):
        for index in range(2):
            number, _ = order._drawn_class(step, index)
            drawn[number, next(order.candidates(step, index))] += 1
    expected = dict(
        zip((0, 2, 12, 15), class_probabilities(STREET, 0.2, np.array([0, 2, 12, 15])), strict=True)
    )
    images = {0: [0, 1, 2, 3], 2: [0, 1], 12: [3], 15: [1]}  # more than 50 pixels: not image 2 for class 15
    assert set(drawn) == {(number, image) for number, own in images.items() for image in own}
    for (number, _), times in drawn.items():
        assert times / 2000 == pytest.approx(expected[number] / len(images[number]), abs=0.04)


def test_a_class_that_no_image_shows_enough_of_is_never_drawn():
    config = RareClassConfig(temperature=0.2, min_pixels=150)
    order = RareClassOrder(STREET, config, seed=0)
    assert order.classes.tolist() == [0, 15]
    assert order.probabilities.sum() == pytest.approx(1)
    with pytest.raises(DataError, match="no image shows more than min_pixels 1000 of any class"):
        RareClassOrder(STREET, RareClassConfig(min_pixels=1000), seed=0)


def test_draws_are_a_function_of_seed_step_and_index():
    order, same, other = (RareClassOrder(STREET, EASY, seed) for seed in (1, 1, 2))

    def sequence(order):
        return [list(order.candidates(step, index)) for step in range(20) for index in range(4)]

    assert sequence(order) == sequence(same) != sequence(other)


def test_crops_are_judged_by_the_class_that_was_drawn():
    order = RareClassOrder(STREET, EASY, seed=0)
    number, _ = order._drawn_class(5, 1)
    label = np.full((10, 10), 255, dtype=np.uint8)
    label[:, :2] = number
    assert not order.accepts(5, 1, label)  # 20 of more than 25
    label[:, 2] = number
    assert order.accepts(5, 1, label)
    assert RareClassOrder(STREET, RareClassConfig(min_pixels=50, crop_share=0), 0).accepts(
        5, 1, label[:1, :1]
    )


def rare(configure, root, **options):
    sampling = {"temperature": 0.5, "min_pixels": 30, "crop_share": 2.0, **options}
    crops = {"source": {"crop": [24, 16]}, "target": {"crop": [24, 16]}}
    return configure(root, "source_only", rare_class_sampling=sampling, transforms=crops, steps=8)


def test_counts_are_the_labels_and_read_once(drawn_pair, configure, cache, monkeypatch):
    records = select_images(rare(configure, drawn_pair)).source
    got = class_counts(records)
    for record, row in zip(records, got, strict=True):
        label = read_label(record.label)
        assert row.tolist() == [(label == number).sum() for number in range(19)]
    assert [found.size for found in kept(open_store())] == ["class counts"]
    monkeypatch.setattr("segda_core.data.rare_classes.label_counts", None)
    np.testing.assert_array_equal(class_counts(records), got)


def test_changed_labels_are_counted_anew(pair, configure, cache):
    records = select_images(rare(configure, pair)).source
    class_counts(records)
    os.utime(records[0].label, ns=(1, 1))
    class_counts(records)
    assert len(list(cache.glob("*/class counts/*"))) == 2


def test_a_cache_that_cannot_be_written_only_costs_time(drawn_pair, configure, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGDA_CACHE", str(tmp_path / "file"))
    records = select_images(rare(configure, drawn_pair)).source
    assert class_counts(records).shape == (12, 19)
    assert "class counts are not kept" in caplog.text


def test_crops_show_the_class_more_often_when_drawn_anew(drawn_pair, configure):
    def hits(redraws):
        config = rare(configure, drawn_pair)
        reader = StreamReader("source", config, select_images(config), open_store())
        reader.order.redraws = redraws
        shown = [
            reader.order.accepts(step, index, reader.sample(step, index)[1])
            for step in range(30)
            for index in range(4)
        ]
        return np.mean(shown)

    assert hits(10) > hits(0) + 0.15


def test_samples_are_those_named_and_do_not_depend_on_ranks_or_first_step(drawn_pair, configure):
    config = rare(configure, drawn_pair)
    images = select_images(config)
    whole = list(build_loader(config, images))
    later = list(build_loader(config, images, first_step=5))
    assert all(
        torch.equal(a.source.images, b.source.images) for [a], [b] in zip(whole[5:], later, strict=True)
    )
    halves = [list(build_loader(config, images, rank=rank, ranks=2)) for rank in (0, 1)]
    for [batch], *shares in zip(whole, *halves, strict=True):
        for rank, [share] in enumerate(shares):
            assert torch.equal(share.source.images, batch.source.images[rank::2])
    names = [name for step in range(8) for name in sample_names(config, images, step)["source"]]
    assert max(Counter(names).values()) > 3  # drawn, not taken in turn


def test_without_it_samples_are_as_before(drawn_pair, configure):
    config = configure(drawn_pair, "source_only")
    assert config.rare_class_sampling is None
    names = [
        name for step in range(3) for name in sample_names(config, select_images(config), step)["source"]
    ]
    assert len(set(names)) == 12


def test_supervised_drops_it(drawn_pair, configure):
    config = configure(drawn_pair, "supervised", rare_class_sampling={})
    assert config.rare_class_sampling is None
