"""Which passes move batch norm's running statistics, and by what each normalises."""

import copy

import pytest
import torch
from torch import nn

from segda_core.models.statistics import statistics_unmoved


@pytest.fixture
def network():
    torch.manual_seed(0)
    frozen = nn.BatchNorm2d(3).eval()
    frozen.running_mean.fill_(0.5)
    return nn.Sequential(nn.BatchNorm2d(3), frozen, nn.BatchNorm2d(3, track_running_stats=False))


def test_a_pass_gives_what_it_gives_in_training_and_moves_nothing(network):
    images, other = torch.rand(2, 3, 4, 4), copy.deepcopy(network)
    before = copy.deepcopy(network.state_dict())
    with statistics_unmoved(network):
        inside = network(images)
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    assert torch.equal(inside, other(images))
    assert not torch.equal(other[0].running_mean, before["0.running_mean"])


def test_later_passes_move_them_again_also_after_an_exception(network):
    other = copy.deepcopy(network)
    with pytest.raises(ValueError, match="expected 4D"), statistics_unmoved(network):
        network(torch.rand(2, 3))
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(network(images), other(images))
    states = [each.state_dict() for each in (network, other)]
    assert states[0].keys() == states[1].keys() and states[0]["0.num_batches_tracked"] == 1
    assert all(torch.equal(values, states[1][name]) for name, values in states[0].items())
