"""Only some classes are interpolated, and the winners are those of interpolating all."""

import pytest
import torch
from torch.nn import functional

from segda_core.inference.upsampling import Layer, classes_of, summed_bands
from segda_core.inference.winners import UNDECIDED, Winners, classes_at_label_size

SIZE = (120, 200)


def noise(*size, seed=0):
    return torch.randn(2, 19, *size, generator=torch.Generator().manual_seed(seed))


def smooth(*size, seed=0):
    return functional.interpolate(noise(4, 6, seed=seed), size=size, mode="bicubic")


def nearly_equal(*size):
    """Differences of a few units in the last place: what rounding decides."""
    return 1 + noise(*size).mul_(2).round_() * 2**-23


def one_leads_by_a_bit(*size):
    scores = torch.ones(2, 19, *size)
    scores[:, 7] += 2**-23
    return scores


FIELDS = {
    "smooth": smooth,
    "noise": noise,
    "large": lambda *size: 1e6 * smooth(*size),
    "small": lambda *size: 1e-6 * smooth(*size),
    "ties": lambda *size: smooth(*size).round(),
    "nearly equal": nearly_equal,
    "all equal": lambda *size: torch.zeros(2, 19, *size),
    "one leads by a bit": one_leads_by_a_bit,
    "probabilities": lambda *size: (20 * smooth(*size)).softmax(dim=1),
}


def all_of(layers):
    return torch.cat([classes_of(total) for total in summed_bands(layers)], dim=1)


def by_contenders(layers):
    return torch.stack([Winners(layers, image).classes() for image in range(2)])


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("own", [(15, 25), (17, 31), (16, 26), (1, 2), (60, 50), (130, 300)])
@pytest.mark.parametrize("field", FIELDS)
def test_one_layer(field, own, align_corners):
    scores = FIELDS[field](*own)
    for mirror in (False, True):
        layer = Layer.at_size(scores, SIZE, padding=(0, 0), align_corners=align_corners, mirror=mirror)
        assert torch.equal(by_contenders([layer]), all_of([layer]))


@pytest.mark.parametrize("padding", [(0, 0), (1, 1)])
@pytest.mark.parametrize("field", FIELDS)
def test_layers_of_several_sizes(field, padding):
    layers = [
        Layer.at_size(FIELDS[field](*own), SIZE, padding=padding, align_corners=True, mirror=mirror)
        for own in ((15, 25), (19, 32), (25, 40))
        for mirror in (False, True)
    ]
    assert torch.equal(by_contenders(layers), all_of(layers))


def test_most_blocks_of_a_smooth_field_need_no_interpolation():
    layer = Layer.at_size(smooth(60, 100), (480, 800), padding=(0, 0), align_corners=True, mirror=False)
    winners = Winners([layer], 0)
    undecided = winners.leaders() == UNDECIDED
    assert undecided.float().mean() < 0.2
    assert winners.can_win(*undecided.nonzero(as_tuple=True)).sum(dim=0).float().mean() < 2.5


def test_scores_that_are_not_numbers_are_no_reason_to_stop():
    scores = smooth(15, 25)
    scores[:, :, 3:6] = torch.nan
    layer = Layer.at_size(scores, SIZE, padding=(0, 0), align_corners=True, mirror=False)
    assert classes_at_label_size([layer]).max() < 19


def test_small_and_large_factors_give_the_classes_of_the_interpolation():
    for own in ((15, 25), (100, 180)):
        scores = smooth(*own)
        layer = Layer.at_size(scores, SIZE, padding=(0, 0), align_corners=False, mirror=False)
        full = functional.interpolate(scores, size=SIZE, mode="bilinear")
        assert torch.equal(classes_at_label_size([layer]).long(), full.argmax(dim=1))
