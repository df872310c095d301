import pytest
import torch
from torch.nn import functional

from segda_core.inference.upsampling import Layer, classes_of, summed_bands

SIZE = (70, 101)


def plain(scores, size, *, padding=(0, 0), align_corners=False, mirror=False):
    full = (size[0] + padding[1], size[1] + padding[0])
    scores = functional.interpolate(scores, size=full, mode="bilinear", align_corners=align_corners)
    scores = scores[..., : size[0], : size[1]]
    return scores.flip(-1) if mirror else scores


def random_scores(*size):
    return torch.randn(2, 19, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1)])
@pytest.mark.parametrize("own", [(9, 13), (30, 40), (1, 1), (80, 150)])
def test_bands_are_the_rows_of_the_whole_interpolation(own, padding, mirror, align_corners):
    scores = random_scores(*own)
    options = {"padding": padding, "align_corners": align_corners, "mirror": mirror}
    bands = torch.cat(list(summed_bands([Layer.at_size(scores, SIZE, **options)])), dim=2)
    torch.testing.assert_close(bands, plain(scores, SIZE, **options), rtol=0, atol=1e-6)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="this CPU has no fused multiply-add"
)
@pytest.mark.parametrize("align_corners", [False, True])
def test_on_cpus_they_are_equal_to_the_last_bit(align_corners):
    scores = random_scores(9, 13)
    layer = Layer.at_size(scores, SIZE, padding=(0, 0), align_corners=align_corners, mirror=False)
    bands = torch.cat(list(summed_bands([layer])), dim=2)
    assert torch.equal(bands, plain(scores, SIZE, align_corners=align_corners))


def test_layers_are_summed_band_by_band():
    own = [random_scores(9, 13), random_scores(12, 16)]
    options = {"padding": (0, 0), "align_corners": True}
    layers = [
        Layer.at_size(scores, SIZE, **options, mirror=mirror)
        for scores, mirror in zip(own, (False, True), strict=True)
    ]
    expected = plain(own[0], SIZE, align_corners=True) + plain(own[1], SIZE, align_corners=True, mirror=True)
    torch.testing.assert_close(torch.cat(list(summed_bands(layers)), dim=2), expected, rtol=0, atol=1e-6)


def test_the_highest_score_wins_and_of_equal_ones_the_first():
    scores = torch.tensor([[0.5, 2.0, -1.0], [0.5, 3.0, -1.0], [0.25, 3.0, -torch.inf]])[None]
    assert classes_of(scores).tolist() == [[0, 1, 0]]
    scores = random_scores(30, 40)
    assert torch.equal(classes_of(scores).long(), scores.argmax(dim=1))
