"""Similarity of class distributions, pairs and their losses against plain loops."""

import itertools

import numpy as np
import pytest
import torch

from segda_core.config import PairLevelConfig
from segda_core.contrast.histograms import rarity, similarity, weighted
from segda_core.contrast.pairs import choose_pairs, pair_losses


def distributions(count, seed=0):
    values = np.random.default_rng(seed).dirichlet(np.full(19, 0.3), count)
    return torch.from_numpy(values)


def test_similarity_is_one_minus_the_jensen_shannon_divergence_in_bits():
    one, other = distributions(3), distributions(4, seed=1)
    found = similarity(one, other)
    for i, j in itertools.product(range(3), range(4)):
        p, q = one[i].numpy(), other[j].numpy()
        m = (p + q) / 2
        divergence = (p * np.log2(p / m)).sum() / 2 + (q * np.log2(q / m)).sum() / 2
        assert found[i, j].item() == pytest.approx(1 - divergence)
    road, sky = torch.eye(19)[:1], torch.eye(19)[10:11]
    assert similarity(road, sky).item() == 0 and similarity(road, road).item() == 1


def test_weights_rise_with_rarity():
    shown, images = torch.tensor([100.0, 50.0, 0.0]), torch.tensor(100.0)
    assert rarity(shown, images).tolist() == pytest.approx(
        [0.01, np.log(100 / 51) + 0.01, np.log(100) + 0.01]
    )
    shares, rarities = torch.tensor([[0.9, 0.1, 0.0]]), torch.tensor([0.1, 2.0, 5.0])
    raw = np.log1p(100 * np.array([0.9, 0.1, 0.0])) * [0.1, 2, 5]
    assert weighted(shares, rarities)[0].tolist() == pytest.approx((raw / raw.sum()).tolist())


def pairs_of(alike, disjoint=None, candidates=None, foreign=None, **level):
    false = torch.zeros(alike.shape, dtype=torch.bool)
    level = PairLevelConfig(**{"positives": 2, "min_negatives": 1, **level})
    candidates = ~false if candidates is None else candidates
    return choose_pairs(
        alike,
        false if disjoint is None else disjoint,
        candidates,
        false if foreign is None else foreign,
        level,
    )


def test_pairs_are_the_most_alike_and_what_is_unlike_or_disjoint():
    alike = torch.linspace(0, 1, 101)[None]  # 5 % are 95..100, 30 % are 0..30
    pairs = pairs_of(alike)
    assert pairs.weights[0].nonzero().flatten().tolist() == [99, 100]
    assert pairs.weights[0, [99, 100]].tolist() == pytest.approx([0.99 / 1.99, 1 / 1.99])
    assert pairs.negatives[0].nonzero().flatten().tolist() == list(range(31))
    disjoint = torch.zeros(1, 101, dtype=torch.bool)
    disjoint[0, 50] = True
    assert pairs_of(alike, disjoint).negatives[0, 50]
    candidates = torch.ones(1, 101, dtype=torch.bool)
    candidates[0, 100] = candidates[0, 3] = False
    pairs = pairs_of(alike, candidates=candidates)
    assert not pairs.weights[0, 100] and not pairs.negatives[0, 3]
    assert pairs.counted.all() and not pairs_of(alike, min_negatives=32).counted.any()
    assert not pairs_of(alike, candidates=torch.zeros_like(candidates)).counted.any()


def test_disjoint_toy_images_are_never_positives():
    """One image alike, 50 without a common class: the 95th percentile of the similarities is 0."""
    toys = torch.eye(19)[[3, *[5, 7] * 25]]
    toys[0, 4] = 1
    anchor, toys = torch.eye(19)[3:4], toys / toys.sum(dim=1, keepdim=True)
    alike = similarity(anchor, toys)
    assert alike[0, 0] > 0.5 and not alike[0, 1:].any()
    for disjoint in (anchor @ toys.T == 0, torch.zeros(1, 51, dtype=torch.bool)):  # the latter: no rare class
        pairs = pairs_of(alike, disjoint, positives=4, min_negatives=16)
        assert pairs.weights[0].tolist() == [1, *[0] * 50]
        assert pairs.negatives[0].tolist() == [False, *[True] * 50]
    disjoint = torch.ones(1, 51, dtype=torch.bool)  # by their rare classes, although all else is equal
    pairs = pairs_of(torch.linspace(0.5, 1, 51)[None], disjoint)
    assert pairs.negatives.all() and not pairs.weights.any() and not pairs.counted.any()


def test_one_of_the_other_domain_is_among_the_positives_where_one_is_alike():
    alike = torch.linspace(0, 1, 101)[None]
    foreign = torch.zeros(1, 101, dtype=torch.bool)
    foreign[0, [20, 96]] = True
    assert pairs_of(alike, foreign=foreign).weights[0].nonzero().flatten().tolist() == [96, 100]
    foreign[0, 96] = False
    assert pairs_of(alike, foreign=foreign).weights[0].nonzero().flatten().tolist() == [99, 100]


def test_losses_are_the_formulas_and_do_not_depend_on_the_order_of_keys():
    torch.manual_seed(0)
    unit = [torch.nn.functional.normalize(torch.randn(n, 8), dim=1) for n in (3, 60)]
    anchors, keys = unit[0].requires_grad_(), unit[1]
    alike = similarity(distributions(3), distributions(60, seed=2)).float()
    candidates = torch.ones_like(alike, dtype=torch.bool)
    candidates[2] = False  # an anchor without any key
    pairs = pairs_of(alike, candidates=candidates)
    losses = pair_losses(anchors, keys, pairs, 0.1)
    for i in range(3):
        e = np.exp((anchors[i].detach() @ keys.T).double().numpy() / 0.1)
        away = e[pairs.negatives[i].numpy()].sum()
        wanted = -sum(w * np.log(e[p] / (e[p] + away)) for p, w in enumerate(pairs.weights[i].tolist()) if w)
        assert losses[i].item() == pytest.approx(wanted, rel=1e-4)
    assert losses[2].item() == 0
    losses.sum().backward()
    again = anchors.detach().double().requires_grad_()
    e = (again @ keys.double().T / 0.1).exp()
    away = (e * pairs.negatives).sum(dim=1, keepdim=True)
    written = -(pairs.weights * (e / (e + away)).log())[:2].sum()
    (gradient,) = torch.autograd.grad(written, again)
    torch.testing.assert_close(anchors.grad, gradient.float(), rtol=1e-4, atol=1e-5)
    assert not anchors.grad[2].any() and anchors.grad[:2].any()
    order = torch.randperm(60)
    again = pair_losses(anchors, keys[order], pairs_of(alike[:, order], candidates=candidates[:, order]), 0.1)
    torch.testing.assert_close(again, losses)
