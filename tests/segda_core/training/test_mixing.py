"""ClassMix on hand-made labels: which values are drawn, and that pixels keep their own label and weight."""

import copy

import pytest
import torch

from segda_core.training.mixing import (
    LABEL_VALUES,
    Sample,
    choose_half,
    paste,
    patches_kept,
    pixels_of,
    values_present,
    without_margins,
)

IGNORED = 19
"""Place of 255 among the label values."""


def test_values_present_counts_ignored_as_one_value():
    labels = torch.tensor([[[0, 0, 18], [255, 255, 3]], [[7, 7, 7], [7, 7, 7]]])
    present = values_present(labels)
    assert present.shape == (2, LABEL_VALUES)
    assert present[0].nonzero().flatten().tolist() == [0, 3, 18, IGNORED]
    assert present[1].nonzero().flatten().tolist() == [7]


@pytest.mark.parametrize(("values", "half"), [([3], 1), ([3, 5], 1), ([0, 3, 5], 2), ([0, 1, 2, IGNORED], 2)])
def test_half_of_the_values_present_rounded_up(values, half):
    present = torch.zeros(200, LABEL_VALUES, dtype=torch.bool)
    present[:, values] = True
    chosen = choose_half(present, torch.rand(200, LABEL_VALUES, generator=torch.Generator().manual_seed(0)))
    assert (chosen.sum(1) == half).all()
    assert not (chosen & ~present).any()
    shares = chosen[:, values].float().mean(0)
    assert torch.allclose(shares, torch.full_like(shares, half / len(values)), atol=0.15)


def test_the_smallest_numbers_decide():
    present = torch.zeros(1, LABEL_VALUES, dtype=torch.bool)
    present[0, [2, 4, 6, IGNORED]] = True
    uniform = torch.full((1, LABEL_VALUES), 0.0)
    uniform[0, [2, 4, 6, IGNORED]] = torch.tensor([0.9, 0.3, 0.8, 0.1])
    assert choose_half(present, uniform)[0].nonzero().flatten().tolist() == [4, IGNORED]


def test_ignored_pixels_can_be_pasted_and_a_single_class_always_is():
    labels = torch.tensor([[[255, 255], [3, 3]], [[5, 5], [5, 5]]])
    chosen = torch.zeros(2, LABEL_VALUES, dtype=torch.bool)
    chosen[0, IGNORED] = True
    chosen[1] = choose_half(values_present(labels), torch.rand(2, LABEL_VALUES))[1]
    assert pixels_of(chosen, labels).tolist() == [
        [[True, True], [False, False]],
        [[True, True], [True, True]],
    ]


def test_every_mixed_pixel_comes_from_one_domain_with_its_label_and_weight():
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 4, (5, 8, 9), generator=generator)
    labels[labels == 3] = 255
    source = Sample(torch.full((5, 3, 8, 9), 10, dtype=torch.uint8), labels, torch.ones(5, 8, 9))
    pseudo = torch.randint(4, 19, (5, 8, 9), generator=generator)
    target = Sample(torch.full((5, 3, 8, 9), 200, dtype=torch.uint8), pseudo, torch.rand(5, 8, 9) / 2)
    before = copy.deepcopy((source, target))
    chosen = choose_half(values_present(labels), torch.rand(5, LABEL_VALUES, generator=generator))
    mixed = paste(pixels_of(chosen, labels), source, target)
    for image in range(5):
        values = [value if value < 19 else 255 for value in chosen[image].nonzero().flatten().tolist()]
        for row in range(8):
            for column in range(9):
                at = (image, row, column)
                origin = source if labels[at].item() in values else target
                assert (mixed.images[image, :, row, column] == origin.images[image, :, row, column]).all()
                assert mixed.labels[at] == origin.labels[at]
                assert mixed.weights[at] == origin.weights[at]
    for sample, old in zip((source, target), before, strict=True):
        assert all(torch.equal(value, vars(old)[name]) for name, value in vars(sample).items())


def test_masks_hide_their_share_in_whole_patches():
    uniform = torch.rand(8, 16, 32, generator=torch.Generator().manual_seed(0))
    kept = patches_kept(uniform, 0.7, (16 * 4, 32 * 4))
    assert kept.shape == (8, 1, 64, 128)
    assert kept.float().mean().item() == pytest.approx(0.3, abs=0.02)
    patches = kept.view(8, 16, 4, 32, 4)
    assert (patches == patches[:, :, :1, :, :1]).all()
    assert torch.equal(patches[:, :, 0, :, 0], uniform > 0.7)
    assert patches_kept(uniform, 0.7, (30, 50)).shape == (8, 1, 30, 50)


def test_margins():
    weights = torch.full((1, 5, 2), 0.5)
    assert without_margins(weights, 1, 2)[0, :, 0].tolist() == [0, 0.5, 0.5, 0, 0]
    assert torch.equal(without_margins(weights, 0, 0), weights)
    assert not without_margins(weights, 3, 3).any()
