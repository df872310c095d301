"""Supervised with MRNet's class weights and hard pixels: values in NumPy, gradients written out otherwise."""

import numpy as np
import pytest
import torch

BALANCE = {"small_class_pixels": 100}


@pytest.fixture
def batch(batches, join):
    batch = join(batches("supervised"))
    labels = batch.target_labelled.labels
    labels[:, 20:, 30:] = 4  # one large class; the others have some 70 pixels an image
    labels[labels == 11] = 255  # and one that is absent
    return batch


def class_weights(labels, steps=1):
    """For two images."""
    counts = np.array([(labels.numpy() == c).sum() for c in range(19)])
    rarity = np.ones(19)
    for _ in range(steps):
        rarity = 0.9 * rarity + 0.1 * np.where(counts == 0, 7, 1)
    return rarity * np.where(counts < 200, 7, 1)


def weighted_mean_of_the_hardest(scores, labels, weights, percentile):
    exponential = np.exp(scores.detach().double().numpy())
    log_probabilities = np.log(exponential / exponential.sum(1, keepdims=True))
    labels = labels.numpy()
    index = np.where(labels != 255, labels, 0)
    each = np.where(labels != 255, weights[index], 0)
    losses = -each * np.take_along_axis(log_probabilities, index[:, None], 1)[:, 0]
    kept = losses >= np.percentile(losses, percentile)
    return losses[kept].sum() / each[kept].sum()


@pytest.mark.parametrize("percentile", [0, 50, 80])
@pytest.mark.parametrize("balanced", [False, True])
def test_classes_are_weighted_and_the_hardest_pixels_kept(build, batch, balanced, percentile):
    options = {"class_balance": BALANCE} if balanced else {}
    trial = build(name="supervised", lambda_aux=0.5, hard_percentile=percentile, **options)
    labels = batch.target_labelled.labels
    main, aux = trial.method.segmenter.at_image_size(batch.target_labelled.images).heads.values()
    for steps in (1, 2):
        weights = class_weights(labels, steps) if balanced else np.ones(19)
        wanted = [weighted_mean_of_the_hardest(head, labels, weights, percentile) for head in (main, aux)]
        losses = trial.backward([batch])
        assert losses["segmenter/target"] == pytest.approx(wanted[0], rel=1e-4)
        assert losses["segmenter/target_aux"] == pytest.approx(0.5 * wanted[1], rel=1e-4)


def test_gradients_are_those_of_the_hard_pixels_alone(build, batch):
    trial = build(name="supervised", lambda_aux=0.5, hard_percentile=80, class_balance=BALANCE)
    segmenter, labels = trial.method.segmenter, batch.target_labelled.labels
    trial.backward([batch])
    weights = torch.tensor(class_weights(labels), dtype=torch.float32)
    wanted = torch.zeros(())
    heads = segmenter.at_image_size(batch.target_labelled.images).heads
    for head, factor in (("main", 1.0), ("aux", 0.5)):
        options = {"weight": weights, "ignore_index": 255}
        each = torch.nn.functional.cross_entropy(heads[head], labels, **options, reduction="none")
        hard = labels.masked_fill(each < np.percentile(each.detach().numpy(), 80), 255)
        wanted = wanted + factor * torch.nn.functional.cross_entropy(heads[head], hard, **options)
    gradients = torch.autograd.grad(wanted, list(segmenter.parameters()))
    for parameter, gradient in zip(segmenter.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_class_weights_are_state_where_there_are_any(build, batch):
    assert list(build(name="supervised").method.networks()) == ["segmenter"]
    trial = build(name="supervised", class_balance=BALANCE)
    for _ in range(2):
        trial.backward([batch])
    rarity = trial.method.networks()["class_balance"].state_dict()["rarity"]
    assert rarity[11].item() == pytest.approx(0.9 * 1.6 + 0.7)
    assert rarity[4].item() == 1
