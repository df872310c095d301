"""Each metric against distributions made by hand, with values worked out beside it."""

import math

import numpy as np
import pytest
import torch

from segda_core.metrics import confusion_matrices
from segda_core.quality.agreement import agreement, mean_iou
from segda_core.quality.divergence import entropy, jensen_shannon, kullback_leibler, shares
from segda_core.quality.domain_distance import logistic_regression, proxy_a_distance
from segda_core.quality.mmd import FACTORS, class_mmd2, mmd2


def normal(count: int, features: int, shift: float, seed: int) -> torch.Tensor:
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed)) + shift


def test_entropy_and_divergence_in_nats_by_hand():
    assert entropy(torch.tensor([1.0, 0.0, 0.0])) == 0
    assert float(entropy(torch.tensor([0.5, 0.25, 0.25]))) == pytest.approx(1.5 * math.log(2))
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert float(kullback_leibler(p, q)) == pytest.approx(expected)
    assert float(kullback_leibler(p + 3, p)) == pytest.approx(0, abs=1e-6)


def test_jensen_shannon_in_bits_by_hand():
    p, q = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.5, 0.0, 0.5]).double()
    assert float(jensen_shannon(p, p)) == 0
    assert float(jensen_shannon(torch.eye(2).double()[0], torch.eye(2).double()[1])) == pytest.approx(1)
    assert float(jensen_shannon(p, q)) == pytest.approx(0.5)  # mean (.5, .25, .25): 1.5 bits, minus 1 bit
    assert jensen_shannon(p, q) == jensen_shannon(q, p)


def test_shares_of_counts_and_of_nothing():
    assert shares(torch.tensor([[1, 3], [0, 0]])).tolist() == [[0.25, 0.75], [0, 0]]


def test_mmd_by_its_definition():
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [5.0]])
    values = [0.0, 1.0, 3.0, 5.0]
    pairs = sorted((values[i] - values[j]) ** 2 for i in range(4) for j in range(i))
    median = pairs[2]  # of 1, 4, 4, 9, 16, 25 torch takes the lower middle

    def kernel(a: float, b: float) -> float:
        return sum(math.exp(-((a - b) ** 2) / (2 * factor * median)) for factor in FACTORS)

    between = sum(kernel(a, b) for a in (0, 1) for b in (3, 5)) / 4
    assert mmd2(x, y) == pytest.approx(kernel(0, 1) + kernel(3, 5) - 2 * between)


def test_mmd_of_one_distribution_is_zero_on_average_and_grows_with_the_distance():
    same = [mmd2(normal(64, 16, 0, 2 * seed), normal(64, 16, 0, 2 * seed + 1)) for seed in range(40)]
    error = np.std(same) / math.sqrt(len(same))
    assert abs(np.mean(same)) < 3 * error
    apart = [mmd2(normal(64, 16, 0, 0), normal(64, 16, shift, 1)) for shift in (0.5, 1.0, 2.0)]
    assert 10 * np.std(same) < apart[0] < apart[1] < apart[2]


def test_mmd_does_not_depend_on_order_or_scale():
    x, y = normal(30, 4, 0, 0), normal(20, 4, 1, 1)
    expected = mmd2(x, y)
    assert mmd2(x.flip(0), y[torch.randperm(20)]) == pytest.approx(expected)
    assert mmd2(100 * x, 100 * y) == pytest.approx(expected)
    assert mmd2(y, x) == pytest.approx(expected)


def test_mmd_of_features_that_do_not_vary_is_zero():
    assert mmd2(torch.ones(10, 3), torch.ones(8, 3)) == 0


def test_class_conditional_mmd_needs_fifty_cells_in_both_domains():
    x, y = normal(160, 4, 0, 0), normal(160, 4, 1, 1)
    own = torch.tensor([0] * 60 + [1] * 49 + [2] * 51)
    other = torch.tensor([0] * 60 + [1] * 60 + [3] * 40)
    values = class_mmd2(x, own, y, other, most=55)
    assert values == {0: mmd2(x[:55], y[:55])}


def test_proxy_a_distance_of_separable_domains_is_two_and_of_one_distribution_about_zero():
    assert proxy_a_distance(normal(50, 8, 0, 0), normal(50, 8, 10, 1)) == 2
    same = [proxy_a_distance(normal(64, 8, 0, 2 * s), normal(64, 8, 0, 2 * s + 1)) for s in range(30)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(len(same)) + 0.02


def test_proxy_a_distance_counts_both_domains_alike_and_repeats_itself():
    few, many = normal(20, 4, 0, 0), normal(200, 4, 0, 1)
    assert abs(proxy_a_distance(few, many)) < 1  # always saying `many` would err in one of eleven: 1.6
    assert proxy_a_distance(few, many) == proxy_a_distance(few, many)


def test_features_that_are_no_numbers_do_not_pass_for_domains_that_are_alike():
    x, y = normal(20, 4, 0, 0), normal(20, 4, 10, 1)
    y[3, 2] = math.nan
    assert math.isnan(proxy_a_distance(x, y)) and math.isnan(proxy_a_distance(y / 0, x))


def test_a_channel_that_never_fires_changes_nothing():
    x, y = normal(40, 4, 0, 0), normal(40, 4, 1, 1)
    silent = torch.zeros(40, 1)
    assert proxy_a_distance(torch.cat((x, silent), 1), torch.cat((y, silent), 1)) == proxy_a_distance(x, y)


@pytest.mark.parametrize(("count", "features", "shift"), [(60, 3, 1.0), (40, 200, 5.0), (30, 2, 100.0)])
def test_logistic_regression_is_where_the_gradient_vanishes(count, features, shift):
    inputs = normal(count, features, 0, 0).double()
    labels = (torch.arange(count) % 2).double()
    inputs[:, 0] += shift * labels
    weights, bias = logistic_regression(inputs, labels)
    rest = labels - (inputs @ weights + bias).sigmoid()
    torch.testing.assert_close(weights, inputs.T @ rest, rtol=1e-6, atol=1e-8)
    assert float(rest.sum()) == pytest.approx(0, abs=1e-8)


def test_agreement_and_iou_of_two_predictions_by_hand():
    first, second = torch.tensor([[0, 0, 1, 1], [2, 2, 2, 2]]), torch.tensor([[0, 1, 1, 1], [2, 2, 2, 3]])
    both = confusion_matrices(first, second)
    assert both.shape == (2, 19, 19)
    assert agreement(both[0]) == 0.75
    assert agreement(both) == 0.75
    assert mean_iou(both) == pytest.approx((1 / 2 + 2 / 3 + 3 / 4 + 0) / 4)
    assert mean_iou(both, [2, 5]) == 0.75
    assert mean_iou(both, [5]) is None
