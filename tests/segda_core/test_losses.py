"""Losses against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from segda_core.losses import (
    adversarial_loss,
    class_pixels,
    class_probabilities,
    confident_entropy,
    gradient_penalty,
    hardest,
    kl_divergence,
    mean_of,
    pixel_cross_entropy,
    pixel_weights,
    segmentation_losses,
    weighted_cross_entropy,
)
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


def test_probabilities_lie_in_memory_as_their_logits_do():
    logits = torch.randn(2, 19, 3, 4).to(memory_format=torch.channels_last)
    probabilities = class_probabilities(logits.bfloat16())
    torch.testing.assert_close(probabilities, logits.bfloat16().float().softmax(dim=1))
    assert probabilities.is_contiguous(memory_format=torch.channels_last)


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


def test_class_pixels_leave_out_ignored_ones():
    pixels = class_pixels(torch.tensor([[[0, 0, 255]], [[18, 3, 255]]]))
    wanted = torch.zeros(19)
    wanted[0], wanted[3], wanted[18] = 2, 1, 1
    assert torch.equal(pixels, wanted)
    assert not class_pixels(torch.full((1, 2, 2), 255)).any()


def test_weighted_cross_entropy_and_its_weights_are_per_pixel():
    logits, labels = two_pixels()
    weights = torch.ones(19)
    weights[3] = 2.5
    losses = weighted_cross_entropy(logits, labels, weights)
    wanted = [2.5 * (math.log(math.exp(2) + 18) - 2), 2.5 * math.log(19), 0.0]
    assert losses.flatten().tolist() == pytest.approx(wanted, rel=1e-6)
    assert pixel_weights(labels, weights).flatten().tolist() == [2.5, 2.5, 0.0]
    mean = torch.nn.functional.cross_entropy(logits, labels, weight=weights, ignore_index=255)
    assert (losses.sum() / pixel_weights(labels, weights).sum()).item() == pytest.approx(mean.item())


def test_the_hardest_fifth_by_hand():
    losses = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0, 6.0, 0.0, 0.0, 9.0, 7.0]).view(1, 2, 5)
    # Sorted: 0 0 1 2 3 4 5 6 7 9; the 80th percentile lies between 6 and 7.
    assert losses[hardest(losses, 80)].tolist() == [9.0, 7.0]
    assert hardest(torch.zeros(1, 2, 5), 80).all()
    assert hardest(losses, 0).all()


@pytest.mark.parametrize("percentile", [0.0, 50.0, 80.0, 99.9])
@pytest.mark.parametrize("count", [1, 5, 101, 1000])
def test_the_hardest_are_those_at_or_above_numpys_percentile(percentile, count):
    losses = torch.rand(count, generator=torch.Generator().manual_seed(count)).round(decimals=2)
    wanted = losses.numpy() >= np.percentile(losses.numpy(), percentile)
    assert np.array_equal(hardest(losses, percentile).numpy(), wanted)


def test_where_most_pixels_are_ignored_none_is_left_out():
    losses = torch.zeros(1, 1, 10)
    losses[..., :1] = 0.3
    assert hardest(losses, 80).all()


def random_logits(*shape):
    logits = 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return logits.requires_grad_()


def test_kl_divergence_of_each_pixel_and_its_gradients():
    first, second = random_logits(2, 19, 2, 3), random_logits(2, 19, 2, 3).detach().flip(1).requires_grad_()
    p, q = (np.exp(z.detach().double().numpy()) for z in (first, second))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    divergence = kl_divergence(first, second)
    wanted = (p * np.log(p / q)).sum(1)
    np.testing.assert_allclose(divergence.detach().numpy(), wanted, rtol=1e-4)
    divergence.sum().backward()
    np.testing.assert_allclose(second.grad.numpy(), q - p, atol=1e-5)
    np.testing.assert_allclose(first.grad.numpy(), p * (np.log(p / q) - wanted[:, None]), atol=1e-5)


def test_kl_divergence_of_certain_pixels_has_finite_gradients():
    first = torch.zeros(1, 19, 1, 1)
    first[0, 0] = 300.0
    second = -first
    first.requires_grad_()
    second.requires_grad_()
    loss = kl_divergence(first, second).sum()
    loss.backward()
    assert loss.item() == pytest.approx(300 + math.log(18), rel=1e-5)
    assert first.grad.isfinite().all() and second.grad.isfinite().all()
    assert kl_divergence(first, first).item() == 0.0


def test_confident_entropy_weighs_by_a_fixed_confidence():
    logits = random_logits(1, 19, 1, 4)
    p = np.exp(logits.detach().double().numpy())
    p /= p.sum(1, keepdims=True)
    entropy, confidence = -(p * np.log(p)).sum(1), (p**2).sum(1)
    loss = confident_entropy(logits)
    assert loss.item() == pytest.approx((confidence * entropy).mean(), rel=1e-5)
    loss.backward()
    wanted = -confidence[:, None] * p * (np.log(p) + entropy[:, None]) / 4
    np.testing.assert_allclose(logits.grad.numpy(), wanted, atol=1e-6)


def test_gradient_penalty_and_its_gradient_by_hand():
    weight = torch.tensor(3.0, requires_grad=True)
    inputs = torch.tensor([[1.0, 2.0], [0.0, -1.0]], requires_grad=True)
    # Each image's score is w sum(x^2): its gradient 2 w x has the squared norm 4 w^2 sum(x^2).
    penalty = gradient_penalty(weight * inputs.square(), inputs)
    assert penalty.item() == pytest.approx(4 * 9 * (5 + 1) / 2)
    penalty.backward()
    assert weight.grad.item() == pytest.approx(8 * 3 * (5 + 1) / 2)


def test_regularising_losses_of_half_precision_logits_are_float32():
    logits = random_logits(1, 19, 2, 2).detach().bfloat16()
    assert kl_divergence(logits, -logits).dtype == torch.float32
    assert confident_entropy(logits).dtype == torch.float32
    assert weighted_cross_entropy(logits, torch.zeros(1, 2, 2).long(), torch.ones(19)).dtype == torch.float32
