"""Which passes move batch norm's running statistics, and by what each normalises."""

import copy

import pytest
import torch
from torch import nn

from segda_core.config import Lite0Config, TinyConfig
from segda_core.distributed import connect
from segda_core.models import build_segmenter
from segda_core.models.statistics import statistics_apart, statistics_unmoved
from segda_core.models.synchronised import SynchronisedBatchNorm2d, synchronise


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


def test_passes_apart_move_them_once_merged_as_if_they_had_followed(network):
    network[0].momentum = 0.25
    first, *others = (torch.rand(2, 3, 4, 4) for _ in range(3))
    usual, merges, outputs = copy.deepcopy(network), [], []
    wanted = [usual(images) for images in (first, *others)]
    before = copy.deepcopy(network.state_dict())
    for images in others:
        with statistics_apart(network) as merge:
            outputs.append(network(images))
        merges.append(merge)
        assert_same_state(network, before)
    outputs.insert(0, network(first))
    for merge in merges:
        merge()
    torch.stack(outputs).sum().backward()
    assert all(torch.equal(*pair) for pair in zip(outputs, wanted, strict=True))
    torch.testing.assert_close(network.state_dict(), usual.state_dict(), rtol=1e-6, atol=1e-7)
    assert network.state_dict()["0.num_batches_tracked"] == 3
    assert network.state_dict()["1.num_batches_tracked"] == 0
    assert torch.equal(network[1].running_mean, torch.full((3,), 0.5))


def test_statistics_are_the_networks_again_after_an_exception(network):
    own, before = list(network.buffers()), copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match="expected 4D"), statistics_apart(network):
        network(torch.rand(2, 3, 4, 4))
        network(torch.rand(2, 3))
    assert [id(each) for each in network.buffers()] == [id(each) for each in own]
    assert_same_state(network, before)


def test_without_batch_norm_nothing_is_apart():
    with statistics_apart(nn.GroupNorm(1, 3)) as merge:
        pass
    merge()


def test_a_mean_of_all_passes_cannot_be_kept_apart(network):
    network[0].momentum = None
    with pytest.raises(ValueError, match="without momentum"), statistics_apart(network):
        pass


def assert_same_state(network, wanted):
    assert all(torch.equal(values, wanted[name]) for name, values in network.state_dict().items())


@pytest.mark.parametrize(
    "config",
    [TinyConfig(name="tiny", width=8, norm="batch"), Lite0Config(name="lite0", weights="none")],
    ids=lambda config: config.name,
)
def test_synchronised_over_one_rank_it_is_batch_norm(config):
    torch.manual_seed(0)
    plain, images = build_segmenter(config), torch.randint(0, 256, (3, 3, 64, 96), dtype=torch.uint8)
    other = copy.deepcopy(plain)
    synchronise(other)
    norms = [each for each in other.modules() if isinstance(each, nn.BatchNorm2d)]
    assert norms and all(isinstance(each, SynchronisedBatchNorm2d) for each in norms)
    results = []
    with connect(1):
        for network in (plain, other):
            network.at_image_size(images).main.square().mean().backward()
            gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
            results.append((network.state_dict(), gradients, network.eval()(images).main))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-4, atol=1e-5)
    assert 0 < (results[1][1] - results[0][1]).norm() < 0.05 * results[0][1].norm()  # fifty untrained layers
    torch.testing.assert_close(results[1][2], results[0][2], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_synchronised_layer_has_batch_norms_values_and_gradients(dtype):
    torch.manual_seed(0)
    plain, images = nn.BatchNorm2d(3), (5 + torch.randn(4, 3, 6, 8)).to(dtype)
    nn.init.uniform_(plain.weight)
    wanted, found = [], []
    with connect(1):
        for layer, into in ((plain, wanted), (SynchronisedBatchNorm2d(copy.deepcopy(plain)), found)):
            inputs = images.clone().requires_grad_()
            outputs = layer(inputs)
            (outputs.float() * torch.linspace(-1, 1, 8).square()).sum().backward()
            into += [outputs, inputs.grad, layer.weight.grad, layer.bias.grad, *layer.buffers()]
    assert outputs.dtype == dtype
    bound = 1e-4 if dtype == torch.float32 else 0.02
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=bound, atol=bound)


def test_synchronised_statistics_stay_where_they_are_meant_to(network):
    synchronise(network[:2])
    before, images = copy.deepcopy(network.state_dict()), torch.rand(2, 3, 4, 4)
    with connect(1):
        with statistics_unmoved(network):
            network(images)
        assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
        network(images)
    assert not torch.equal(network[0].running_mean, before["0.running_mean"])
    assert torch.equal(network[1].running_mean, before["1.running_mean"])
