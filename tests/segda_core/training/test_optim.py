"""Parameter groups and learning rates against numbers worked out independently."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from segda_core.config import (
    AdamWConfig,
    DeepLabV2Config,
    DiscriminatorOptimizerConfig,
    ScheduleConfig,
    SgdConfig,
    TinyConfig,
)
from segda_core.models.deeplabv2 import DeepLabV2
from segda_core.models.tiny import Tiny
from segda_core.training.optim import (
    add_network,
    build_schedule,
    discriminator_optimizer,
    learning_rate_factor,
    segmenter_optimizer,
)


@pytest.fixture(scope="module")
def tiny():
    return Tiny(TinyConfig(name="tiny", width=8, norm="batch"))


def sizes(optimizer):
    return {group["name"]: sum(p.numel() for p in group["params"]) for group in optimizer.param_groups}


def test_sgd_groups_trunk_and_heads_with_their_own_rates(tiny):
    optimizer = segmenter_optimizer(tiny, SgdConfig(name="sgd", lr=0.01, nesterov=True))
    assert isinstance(optimizer, torch.optim.SGD)
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {"trunk": 0.01, "heads": 0.1}
    assert all(group["weight_decay"] == 5e-4 and group["nesterov"] for group in optimizer.param_groups)
    assert sum(sizes(optimizer).values()) == sum(parameter.numel() for parameter in tiny.parameters())


def test_adamw_decays_weights_but_no_norms_and_biases(tiny):
    optimizer = segmenter_optimizer(tiny, AdamWConfig(name="adamw", lr=1e-3, head_lr_multiplier=2.0))
    groups = {group["name"]: group for group in optimizer.param_groups}
    decays = {name: group["weight_decay"] for name, group in groups.items()}
    assert decays == {"trunk": 0.01, "trunk_no_decay": 0.0, "heads": 0.01, "heads_no_decay": 0.0}
    assert {name: group["lr"] for name, group in groups.items()} == {
        "trunk": 1e-3,
        "trunk_no_decay": 1e-3,
        "heads": 2e-3,
        "heads_no_decay": 2e-3,
    }
    layers = list(tiny.modules())
    norms = sum(2 * layer.num_features for layer in layers if isinstance(layer, nn.BatchNorm2d))
    biases = sum(len(head.bias) for head in (tiny.main_head, tiny.aux_head))
    kept = sizes(optimizer)
    assert kept["trunk_no_decay"] + kept["heads_no_decay"] == norms + biases


@pytest.mark.parametrize(
    ("config", "biases_decay"), [(AdamWConfig(name="adamw"), 0.0), (SgdConfig(name="sgd"), 5e-4)]
)
def test_a_network_beside_the_segmenter_follows_the_same_rule(tiny, config, biases_decay):
    optimizer = segmenter_optimizer(tiny, config)
    projection = nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3), nn.Linear(3, 2))
    add_network(optimizer, "projection", projection, lr=0.5)
    weights, vectors = {12, 6}, {3, 2}
    added = [group for group in optimizer.param_groups if group["name"].startswith("projection")]
    decays = {p.numel(): group["weight_decay"] for group in added for p in group["params"]}
    assert decays == {**dict.fromkeys(weights, config.weight_decay), **dict.fromkeys(vectors, biases_decay)}
    assert {group["lr"] for group in added} == {0.5}


def test_frozen_tensors_are_left_out_and_the_trunk_multiplier_counts():
    with torch.device("meta"):
        segmenter = DeepLabV2(
            DeepLabV2Config(name="deeplabv2_resnet101", weights="none", trunk_lr_multiplier=3.0)
        )
    sgd = segmenter_optimizer(segmenter, SgdConfig(name="sgd"))
    assert sizes(sgd) == {"trunk": 42_394_816, "heads": 700_492 + 1_400_908}
    assert [group["lr"] for group in sgd.param_groups] == pytest.approx([7.5e-4, 2.5e-3])
    adamw = segmenter_optimizer(segmenter, AdamWConfig(name="adamw"))
    assert list(sizes(adamw)) == ["trunk", "heads", "heads_no_decay"]


def test_discriminator_optimizer_is_adam_over_everything():
    network = nn.Linear(3, 2)
    optimizer = discriminator_optimizer(network, DiscriminatorOptimizerConfig(lr=2e-4, betas=(0.8, 0.9)))
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.Adam)
    assert (group["lr"], group["betas"], len(group["params"])) == (2e-4, (0.8, 0.9), 2)


def rates(config, steps, base=1.0):
    """The learning rate each step is made with."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=base)
    schedule = build_schedule(optimizer, config, steps)
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return used


def test_poly_linear_and_constant():
    assert rates(ScheduleConfig(), 4, base=2.0) == pytest.approx([2 * (1 - s / 4) ** 0.9 for s in range(4)])
    assert rates(ScheduleConfig(name="poly", power=2.0), 2) == pytest.approx([1.0, 0.25])
    assert rates(ScheduleConfig(name="linear"), 4) == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert rates(ScheduleConfig(name="constant"), 3) == [1.0, 1.0, 1.0]


def test_length_may_be_longer_or_shorter_than_the_trial():
    assert learning_rate_factor(ScheduleConfig(length=250_000), 150_000, 150_000) == pytest.approx(0.4**0.9)
    assert rates(ScheduleConfig(name="linear", length=2), 4) == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_warm_up_leaves_the_later_factors_where_they_are():
    config = ScheduleConfig(length=100_000, warmup_steps=5000)
    factors = [learning_rate_factor(config, step, 250_000) for step in (0, 2500, 4999, 5000, 25_000)]
    assert factors == pytest.approx([0.1, 0.55, 0.99982, 0.954886, 0.771890], abs=1e-6)


def test_a_resumed_schedule_continues():
    config = ScheduleConfig(warmup_steps=2)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build_schedule(optimizer, config, 5)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    saved = optimizer.state_dict(), schedule.state_dict()
    other = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    resumed = build_schedule(other, config, 5)
    other.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    other.step()
    resumed.step()
    assert other.param_groups[0]["lr"] == pytest.approx((1 - 4 / 5) ** 0.9)


TRAINS = """
import sys, torch
from segda_core.engine import Engine
from segda_core.training.optim import add_network, discriminator_optimizer
from torch.optim import SGD, AdamW
from segda_core.config import DiscriminatorOptimizerConfig
network = torch.nn.Linear(1, 1)
for optimizer in (
    SGD(network.parameters(), fused=True),
    AdamW(network.parameters(), fused=True),
    discriminator_optimizer(network, DiscriminatorOptimizerConfig()),
):
    add_network(optimizer, "more", torch.nn.Linear(1, 1), 0.1)
    network(torch.ones(1, 1)).backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.processes
def test_no_optimizer_loads_torchs_compiler():
    """That would take a second of every trial's start."""
    done = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
