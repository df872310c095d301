"""The small network: size, group norm, and that it learns."""

import pytest
import torch
from torch.nn import functional

from segda_core.config import TinyConfig
from segda_core.models.tiny import Tiny


def test_default_has_a_fifth_of_a_million_parameters():
    assert sum(parameter.numel() for parameter in Tiny(TinyConfig(name="tiny")).parameters()) == 204_502


def test_logits_are_at_a_quarter_of_the_size():
    assert Tiny(TinyConfig(name="tiny", width=8))(torch.zeros(1, 3, 32, 64)).main.shape[2:] == (8, 16)


@pytest.mark.parametrize(("norm", "alone"), [("group", True), ("batch", False)])
def test_group_norm_makes_images_independent_in_training(norm, alone):
    torch.manual_seed(0)
    segmenter = Tiny(TinyConfig(name="tiny", width=8, norm=norm)).train()
    images = torch.rand(2, 3, 32, 64) * 255
    with torch.no_grad():
        difference = (segmenter(images).main[:1] - segmenter(images[:1]).main).abs().max()
    assert (difference < 1e-5) == alone


def test_it_learns_a_scene_within_forty_steps():
    torch.manual_seed(0)
    segmenter = Tiny(TinyConfig(name="tiny"))
    labels = torch.zeros(2, 32, 64, dtype=torch.int64)
    labels[:, :16], labels[:, 20:, 32:40] = 10, 13
    images = torch.stack((labels * 20, 255 - labels * 15, labels * 5), dim=1) + 20 * torch.randn(2, 3, 32, 64)
    optimizer = torch.optim.AdamW(segmenter.parameters(), lr=5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        main, aux = segmenter.at_image_size(images)
        (functional.cross_entropy(main, labels) + functional.cross_entropy(aux, labels)).backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = [(head.argmax(1) == labels).float().mean() for head in segmenter.at_image_size(images)]
    assert accuracy[0] > 0.95
    assert accuracy[1] > 0.9
