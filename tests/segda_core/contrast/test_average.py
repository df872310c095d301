"""What the averaged network says that images and regions show, of a network that reads it from the image."""

import numpy as np
import pytest
import torch
from torch import nn

from segda_core.config import ContrastiveConfig
from segda_core.contrast.average import Averaged, cells_of
from segda_core.contrast.heads import Heads
from segda_core.methods.base import DomainBatch
from segda_core.models.base import Logits, Segmenter

HEIGHT, WIDTH = 20, 40
OPTIONS = ContrastiveConfig(image={}, region={"grid": (4, 2)}, dimension=8)


class Painted(Segmenter):
    """A pixel's red is its class, its green by how much in percent the network is sure of it."""

    has_aux = False
    feature_channels = 3

    def __init__(self) -> None:
        super().__init__(mean=(0.0,) * 3, std=(1.0,) * 3, align_corners=False)

    def stages(self, inputs):
        return (inputs,)

    def heads(self, stages):
        red, green, _ = stages[0].unbind(dim=1)
        sure = green[:, None] / 100
        own = nn.functional.one_hot(red.long(), 19).permute(0, 3, 1, 2)
        return Logits((own * sure + (1 - own) * (1 - sure) / 18).log(), None)


class Coarse(Painted):
    """With features of cells of 10 x 10 pixels, as many as regions."""

    def stages(self, inputs):
        return (inputs, nn.functional.avg_pool2d(inputs, 10))


@pytest.fixture
def average():
    torch.manual_seed(0)
    return Averaged(Painted(), Heads(3, OPTIONS))


def cell(row, column):
    """Where a region lies, of two rows of four."""
    return slice(10 * row, 10 * row + 10), slice(10 * column, 10 * column + 10)


def test_regions_are_columns_by_rows_and_their_keys_of_the_same_place(average):
    labels = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.long)
    images = torch.randint(0, 19, (1, 3, HEIGHT, WIDTH))
    for row in range(2):
        for column in range(4):
            labels[0][cell(row, column)] = 4 * row + column
    labels[0, :, 10:20] = 255
    labels[0, :4, 10:20] = 1  # 40 % of the region above, and nothing below
    labels[0, 10:16, 30:40] = 17  # 60 % of the last
    batch = DomainBatch(images.byte(), labels, (5,))
    seen, _ = average.look(batch, OPTIONS)
    wanted = torch.eye(19)[:8]
    wanted[5] = 0
    wanted[7, [7, 17]] = torch.tensor([0.4, 0.6])
    torch.testing.assert_close(seen["region_shares"][0], wanted)
    assert seen["region_usable"].tolist() == [[1, 0, 1, 1, 1, 0, 1, 1]]
    for region, place in enumerate(cell(row, column) for row in range(2) for column in range(4)):
        features = images[0][:, *place].float().mean(dim=(1, 2))
        key = nn.functional.normalize(average.heads.region(features), dim=0)
        torch.testing.assert_close(seen["region_keys"][0, region], key)
    assert seen["numbers"].tolist() == [5]


def test_a_target_image_counts_where_the_network_is_sure_of_most_pixels(average):
    images = torch.zeros(3, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    images[:, 0] = 3
    images[:, 0, :, :8] = 6
    images[:, 1] = 45
    for image, columns in enumerate((22, 27, 27)):  # 55 %, 67.5 % of the image
        images[image, 1, :, :columns] = 55
    images[2, 1, 10:] = 45  # half of the latter
    seen, _ = average.look(DomainBatch(images, None, (0, 1, 2)), OPTIONS)
    assert seen["image_usable"].tolist() == [0, 1, 0]
    assert seen["region_usable"].tolist() == [[1, 1, 0, 0] * 2, [1, 1, 1, 0] * 2, [1, 1, 1, 0, 0, 0, 0, 0]]
    rest = 0.45 / 18
    wanted = torch.full((19,), rest)
    wanted[6] = (8 * 0.55 + 19 * rest) / 27  # of the 27 columns it is sure of alone
    wanted[3] = (19 * 0.55 + 8 * rest) / 27
    torch.testing.assert_close(seen["image_shares"][1], wanted)


def test_just_enough_is_enough_and_nothing_never_is(average):
    """60 % that the network is sure of; half of a region's labels, and any one of an image's."""
    images = torch.zeros(4, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    images[:, 1] = 45
    for image, (columns, sure) in enumerate([(24, 75), (24, 97), (23, 97), (0, 0)]):
        images[image, 1, :, :columns] = sure  # 24 are 60 %, which comes out rounded down or up
    seen, _ = average.look(DomainBatch(images, None, (0, 1, 2, 3)), OPTIONS)
    assert seen["image_usable"].tolist() == [1, 1, 0, 0]
    labels = torch.full((2, HEIGHT, WIDTH), 255)
    labels[0][cell(0, 0)] = 3
    labels[0, :5, :10] = 255
    labels[0, 10:14, :10] = 3
    seen, _ = average.look(DomainBatch(images[:2], labels, (0, 1)), OPTIONS)
    assert seen["image_usable"].tolist() == [1, 0]
    assert seen["region_usable"].tolist() == [[1] + [0] * 7, [0] * 8]


def test_a_cell_is_of_the_class_of_so_many_of_all_its_pixels():
    """Of four: three are enough and two are not, also where the others are ignored."""
    cells = [[[3, 3, 3, 3], [3, 3, 3, 7], [3, 3, 7, 7]], [[7, 7, 7, 255], [7, 7, 255, 255], [255] * 4]]
    pixels = torch.tensor(cells).view(1, 2, 3, 2, 2).transpose(2, 3).reshape(1, 4, 6)
    shares = nn.functional.one_hot(pixels.clamp(max=19), 20)[..., :19].permute(0, 3, 1, 2).float()
    keys = torch.arange(12.0).view(1, 2, 2, 3)
    found = cells_of(keys, shares, 0.75)
    assert found.labels.tolist() == [[[3, 3, 255], [7, 255, 255]]]
    wanted = torch.zeros(19, 2)
    wanted[3] = torch.tensor([0.0 + 1, 6 + 7])
    wanted[7] = torch.tensor([3.0, 9])
    torch.testing.assert_close(found.sums, wanted)


PROTOTYPE = ContrastiveConfig(prototype={"min_share": 0.75, "confidence": 0.9}, prototype_dimension=5)


def sums_of(average, images, labels):
    """(19, 5): of the keys of cells (batch, 2, 4) of known classes, one by one."""
    sums = torch.zeros(19, 5)
    features = nn.functional.avg_pool2d(images.float(), 10)
    for image, row, column in np.ndindex(*labels.shape):
        if labels[image, row, column] != 255:
            key = average.heads.prototype(features[image, :, row, column].view(1, 3, 1, 1)).flatten()
            sums[labels[image, row, column]] += nn.functional.normalize(key, dim=0)
    return sums


@pytest.fixture
def coarse():
    torch.manual_seed(0)
    return Averaged(Coarse(), Heads(3, PROTOTYPE))


def test_labels_say_of_what_class_a_labelled_cell_is(coarse):
    """By `min_share`, whatever the network predicts, and however sure it is."""
    images = torch.randint(0, 19, (2, 3, HEIGHT, WIDTH)).byte()
    labels = torch.full((2, HEIGHT, WIDTH), 4)
    labels[0][cell(0, 1)] = 9
    labels[0, :2, 10:20] = 255  # 80 % of it are left
    labels[1, :3, 20:30] = 255  # 70 %
    labels[1, 10:, :10] = 255
    _, cells = coarse.look(DomainBatch(images, labels, (0, 1)), PROTOTYPE)
    wanted = torch.full((2, 2, 4), 4)
    wanted[0, 0, 1] = 9
    wanted[1, 0, 2] = wanted[1, 1, 0] = 255
    assert torch.equal(cells.labels, wanted)
    torch.testing.assert_close(cells.sums, sums_of(coarse, images, wanted))


def test_the_network_says_of_what_class_a_cell_without_labels_is(coarse):
    """Where it is sure of its pixels by `confidence` in the mean, and of one class."""
    images = torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    images[:, 0], images[:, 1] = 4, 95
    images[0, 1][cell(0, 1)] = 85  # more than `min_share`
    images[0, 0, :5, 20:30] = 9  # half of one class, half of another
    images[0, 1, 10:12, :10] = 60  # 88 % in the mean
    images[0, 1, 10, 10:20] = 60  # 91.5 %
    images[0, 0][cell(1, 3)] = 9
    _, cells = coarse.look(DomainBatch(images, None, (0,)), PROTOTYPE)
    wanted = torch.tensor([[[4, 255, 255, 4], [255, 4, 4, 9]]])
    assert torch.equal(cells.labels, wanted)
    torch.testing.assert_close(cells.sums, sums_of(coarse, images, wanted))


def test_class_sums_are_the_same_under_autocast():
    keys = torch.nn.functional.normalize(torch.randn(2, 8, 16, 32), dim=1)
    shares = torch.nn.functional.one_hot(torch.full((2, 16, 32), 3), 19).permute(0, 3, 1, 2).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = cells_of(keys, shares, 0.75).sums
    assert torch.equal(half, cells_of(keys, shares, 0.75).sums)
