"""What the averaged network says that images and regions show, of a network that reads it from the image."""

import pytest
import torch
from torch import nn

from segda_core.config import ContrastiveConfig
from segda_core.contrast.average import Averaged
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
        red, green, _ = stages[-1].unbind(dim=1)
        sure = green[:, None] / 100
        own = nn.functional.one_hot(red.long(), 19).permute(0, 3, 1, 2)
        return Logits((own * sure + (1 - own) * (1 - sure) / 18).log(), None)


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
