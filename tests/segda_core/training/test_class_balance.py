"""Class weights on hand-made batches."""

import pytest
import torch

from segda_core.config import ClassBalanceConfig
from segda_core.training.class_balance import ClassBalance


def counted(**pixels):
    """(19,) pixel counts: class 0 has a million, the others none but those given as `cN`."""
    counts = torch.zeros(19)
    counts[0] = 1e6
    for name, count in pixels.items():
        counts[int(name[1:])] = count
    return counts


def test_small_and_absent_classes_weigh_more():
    balance = ClassBalance(ClassBalanceConfig())
    balance.update(counted(c3=2 * 4096, c4=2 * 4096 - 1), images=2)
    assert balance.weights[[0, 3]].tolist() == [1.0, 1.0]
    assert balance.weights[4].item() == 7.0
    assert balance.weights[5].item() == pytest.approx(7 * (0.9 + 0.1 * 7))
    assert balance.rarity[[3, 4, 5]].tolist() == pytest.approx([1.0, 1.0, 1.6])


def test_rarity_rises_while_a_class_is_away_and_falls_when_it_is_back():
    balance = ClassBalance(ClassBalanceConfig())
    rarity = 1.0
    for present in (False, False, True, False, True, True):
        balance.update(counted(c5=1e6 * present), images=2)
        rarity = 0.9 * rarity + 0.1 * (1 if present else 7)
        assert balance.rarity[5].item() == pytest.approx(rarity, rel=1e-6)
        assert balance.weights[5].item() == pytest.approx(rarity * (1 if present else 7), rel=1e-6)
    assert balance.rarity[0].item() == 1.0


def test_a_class_never_seen_comes_to_weigh_the_square():
    balance = ClassBalance(ClassBalanceConfig())
    for _ in range(200):
        balance.update(counted(), images=1)
    assert balance.weights[18].item() == pytest.approx(49.0, rel=1e-5)


def test_a_largest_weight_of_one_switches_it_off():
    balance = ClassBalance(ClassBalanceConfig(max_weight=1))
    balance.update(counted(), images=1)
    assert balance.weights.tolist() == [1.0] * 19


def test_the_running_part_is_saved_and_the_rest_follows_from_it():
    balance = ClassBalance(ClassBalanceConfig())
    balance.update(counted(), images=1)
    assert list(balance.state_dict()) == ["rarity"]
    resumed = ClassBalance(ClassBalanceConfig())
    resumed.load_state_dict(balance.state_dict())
    for each in (balance, resumed):
        each.update(counted(c7=5), images=1)
    assert torch.equal(balance.weights, resumed.weights)
