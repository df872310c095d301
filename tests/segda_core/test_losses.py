"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from segda_core.losses import adversarial_loss, mean_of, pixel_cross_entropy, segmentation_losses
from segda_core.models.base import Logits


def two_pixels():
    """One certain, one undecided pixel of class 3, and an ignored one that is wrong."""
    logits = torch.zeros(1, 19, 1, 3, requires_grad=True)
    with torch.no_grad():
        logits[0, 3, 0, 0] = 2.0
        logits[0, 7, 0, 2] = 50.0
    return logits, torch.tensor([[[3, 3, 255]]])


def test_cross_entropy_is_a_sum_over_labelled_pixels():
    logits, labels = two_pixels()
    wanted = math.log(math.exp(2) + 18) - 2 + math.log(19)
    assert pixel_cross_entropy(logits, labels).item() == pytest.approx(wanted, rel=1e-6)


def test_ignored_pixels_get_no_gradient():
    logits, labels = two_pixels()
    pixel_cross_entropy(logits, labels).backward()
    assert not logits.grad[..., 2].any()
    assert logits.grad[0, 3, 0, 1].item() == pytest.approx(1 / 19 - 1)


def test_cross_entropy_of_half_precision_logits_is_float32():
    logits = torch.full((1, 19, 2, 2), 30.0, dtype=torch.bfloat16)
    loss = pixel_cross_entropy(logits, torch.zeros(1, 2, 2, dtype=torch.int64))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(4 * math.log(19), rel=1e-6)


def test_nothing_labelled_is_exactly_zero_with_zero_gradients():
    logits = torch.randn(1, 19, 2, 2, requires_grad=True)
    labels = torch.full((1, 2, 2), 255)
    loss = mean_of(pixel_cross_entropy(logits, labels), (labels != 255).sum().float())
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_segmentation_losses_divide_by_the_global_count_and_weigh_the_auxiliary_head():
    logits, labels = two_pixels()
    main = pixel_cross_entropy(logits, labels).item()
    losses = segmentation_losses("source", Logits(logits, 2 * logits), labels, torch.tensor(10.0), 0.5)
    aux = math.log(math.exp(4) + 18) - 4 + math.log(19)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {"source": main / 10, "source_aux": 0.5 * aux / 10}
    )
    assert list(segmentation_losses("target", Logits(logits, None), labels, torch.tensor(1.0), 0.5)) == [
        "target"
    ]


@pytest.mark.parametrize(
    ("gan", "label", "wanted"),
    [
        ("bce", 0.0, (math.log(2) + math.log(1 + math.exp(2))) / 2),
        ("bce", 1.0, (math.log(2) + math.log(1 + math.exp(-2))) / 2),
        ("lsgan", 0.0, (0 + 4) / 2),
        ("lsgan", 1.0, (1 + 1) / 2),
    ],
)
def test_adversarial_loss_works_on_raw_scores(gan, label, wanted):
    assert adversarial_loss(torch.tensor([0.0, 2.0]), label, gan).item() == pytest.approx(wanted, rel=1e-6)
