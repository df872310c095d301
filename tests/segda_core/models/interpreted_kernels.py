"""Kernels for GPUs, run number by number on a CPU: see `test_fused_kernels.py`, which starts this file."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional

from segda_core.models import batch_norm, fused_norm
from segda_core.models.batch_norm import Twice
from segda_core.models.deeplabv2 import DilatedHead
from segda_core.models.fused_norm import NormReLU
from segda_core.models.resnet101 import Bottleneck


@pytest.fixture(autouse=True)
def several_programs(monkeypatch):
    """Few pixels and channels, and still more than one program for each, the last of them partly empty."""
    monkeypatch.setattr(fused_norm, "TILE", 512)
    monkeypatch.setattr(fused_norm, "TURNS", 2)
    monkeypatch.setattr(fused_norm, "PROGRAMS", (2, 6))
    torch.manual_seed(0)


def channels_last(*shape, dtype=torch.float32):
    return torch.randn(*shape).to(dtype).to(memory_format=torch.channels_last).requires_grad_()


def trained_norm(channels, *, training=True):
    """With parameters and statistics of its own."""
    norm = nn.BatchNorm2d(channels).train(training)
    norm.weight.data.uniform_(-1, 2)
    norm.bias.data.normal_()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def fused(norm, x, shortcut, relu):
    return NormReLU.apply(x, shortcut, norm.weight, norm.bias, norm, relu)


def assert_near(tensor, exact, tolerance):
    torch.testing.assert_close(tensor.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("used", ["both", "branch", "shortcut"])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_norm_sum_and_relu_with_their_gradients(training, adds, relu, used):
    norm = trained_norm(130, training=training)
    exact = deepcopy(norm).double()
    x = (channels_last(2, 130, 3, 7) * 2 + 30).detach().requires_grad_()
    shortcut = channels_last(2, 130, 3, 7) if adds else None
    outputs = fused(norm, x, shortcut, relu)
    factors = torch.randn(2, 2, 130, 3, 7)
    factors[{"both": [], "branch": [1], "shortcut": [0]}[used]] = 0
    read = [number for number in range(2) if factors[number].any()]
    torch.stack([(outputs[number] * factors[number]).sum() for number in read]).sum().backward()

    x64, shortcut64 = (None if each is None else each.detach().double() for each in (x, shortcut))
    leaves = [each.requires_grad_() for each in (x64, shortcut64) if each is not None]
    y = exact(x64) if shortcut64 is None else exact(x64) + shortcut64
    y = functional.relu(y) if relu else y
    (y * factors.double().sum(dim=0)).sum().backward()
    for output in outputs:
        assert_near(output, y, 1e-4)
    for mine, its in zip((x, shortcut), leaves, strict=False):
        assert_near(mine.grad, its.grad, 3e-4)
    for name, buffer in exact.named_buffers():
        assert_near(getattr(norm, name), buffer.double(), 1e-4)
    if training:
        assert_near(norm.weight.grad, exact.weight.grad, 1e-3)
        assert_near(norm.bias.grad, exact.bias.grad, 1e-3)


def test_parameters_that_are_not_trained_change_nothing_else():
    """What ResNets are by default: the batch's statistics, fixed weight and bias."""
    norm = trained_norm(24)
    fixed = deepcopy(norm).requires_grad_(False)
    x, shortcut, factors = (torch.randn(2, 24, 4, 7) for _ in range(3))
    gradients = []
    for each in (norm, fixed):
        inputs = [
            tensor.to(memory_format=torch.channels_last).requires_grad_()
            for tensor in (x.clone(), shortcut.clone())
        ]
        (fused(each, *inputs, True)[0] * factors).sum().backward()
        gradients.append([tensor.grad for tensor in inputs])
    assert fixed.weight.grad is None
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_gradients_come_as_they_may():
    """One tensor for both outputs, expanded or not channels-last, twice, or none at all."""
    norm, x = trained_norm(8), channels_last(2, 8, 3, 5)
    exact = deepcopy(norm).double()
    x64 = x.detach().double().requires_grad_()
    branch, shortcut = fused(norm, x, None, True)
    factors = torch.randn(2, 8, 3, 5)
    y = functional.relu(exact(x64))
    (wanted,) = torch.autograd.grad((2 * y * factors.double()).sum() + y.sum(), x64)
    loss = ((branch + shortcut) * factors).sum() + branch.sum()
    for _ in range(2):
        (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
        assert_near(gradient, wanted, 3e-4)
    same = torch.randn(2, 8, 3, 5).to(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad((branch, shortcut), x, (same, same), retain_graph=True)
    (wanted,) = torch.autograd.grad(functional.relu(exact(x64)), x64, 2 * same.double())
    assert_near(gradient, wanted, 3e-4)
    undefined = torch._C._functions.UndefinedGrad()(branch)
    assert torch.autograd.grad(undefined.sum(), x, allow_unused=True) == (None,)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # NumPy's, which computes
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_so(value, training):
    """A network that blew up has to be noticed."""
    norm, x = trained_norm(8, training=training), channels_last(2, 8, 3, 5)
    norm.weight.data.abs_()
    plain = deepcopy(norm)
    with torch.no_grad():
        x[0, 3, 1, 1] = value
        y, wanted = fused(norm, x, None, True)[0], functional.relu(plain(x))
    assert torch.equal(y.isfinite(), wanted.isfinite()) and not y.isfinite().all()
    assert torch.equal(norm.running_var.isfinite(), plain.running_var.isfinite())


def test_half_the_digits_go_in_and_come_out():
    norm, x = trained_norm(24), channels_last(3, 24, 4, 7, dtype=torch.bfloat16)
    shortcut = channels_last(3, 24, 4, 7, dtype=torch.bfloat16)
    y, _ = fused(norm, x, shortcut, True)
    y.float().square().sum().backward()
    assert y.dtype == x.grad.dtype == shortcut.grad.dtype == torch.bfloat16
    plain = functional.relu(deepcopy(norm).float()(x.detach().float()) + shortcut.detach().float())
    assert_near(y, plain.double(), 2e-2)


def test_statistics_that_are_to_stay_stay():
    norm = trained_norm(8)
    norm.track_running_stats = False
    before = deepcopy(norm.state_dict())
    fused(norm, channels_last(2, 8, 3, 3), None, True)
    assert all(torch.equal(before[name], tensor) for name, tensor in norm.state_dict().items())


def test_one_pixel_far_from_the_others_costs_no_digits():
    """Sums are taken from a channel's first value: the worst of all is an outlier."""
    x = torch.randn(2, 4, 16, 16)
    x[0, :, 0, 0] = 30.0
    x = (x + 1000).to(memory_format=torch.channels_last)
    y, _ = fused(norm := nn.BatchNorm2d(4), x, None, False)
    assert_near(y, deepcopy(norm).double()(x.double()), 2e-3)


@pytest.mark.parametrize("training", [True, False])
def test_blocks_of_a_resnet_compute_what_they_did(training, monkeypatch):
    blocks = nn.Sequential(
        *(Bottleneck(inputs, 8, stride, 1, "3x3") for inputs, stride in ((16, 1), (32, 1), (32, 2)))
    )
    for module in blocks.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(training).requires_grad_(training)
    plain = deepcopy(blocks)
    x = channels_last(2, 16, 6, 7)

    def passes(network):
        inputs = x.detach().clone().requires_grad_()
        y = network(Twice(inputs, inputs)).branch
        (y.square().mean() + y.sin().mean()).backward()
        return [y, inputs.grad, *(each.grad for each in network.parameters() if each.grad is not None)]

    wanted = passes(plain)
    monkeypatch.setattr(batch_norm, "runs_fused", lambda norm, x, shortcut: True)
    for mine, its in zip(passes(blocks), wanted, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dilations", [(1, 2, 6), (6, 12, 18, 24)])
@pytest.mark.parametrize("size", [(1, 1), (3, 30), (25, 7)])
def test_a_head_by_its_taps_computes_what_its_convolutions_do(size, dilations):
    head = DilatedHead(10, dilations)
    taps, x = deepcopy(head), channels_last(2, 10, *size)
    mine = x.detach().clone().requires_grad_()
    wanted, logits = head(x), taps.by_taps(mine)
    factors = torch.randn_like(wanted)
    for each in (wanted, logits):
        (each * factors).sum().backward()
    torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mine.grad, x.grad, rtol=1e-5, atol=1e-6)
    for one, other in zip(taps.parameters(), head.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
