"""Optimizers and learning-rate schedules from their configuration.

Optimizers are fused: one pass over all tensors, on CPUs too (AdamW on `tiny`: a quarter of the time). They
are kept out of what torch compiles, and torch loads its compiler to say so, which takes a second of every
trial's start: `_spare_the_compiler` says it, since nothing here compiles an optimizer.
"""

from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from segda_core.config import DiscriminatorOptimizerConfig, OptimizerConfig, ScheduleConfig, SgdConfig
from segda_core.models.base import Segmenter

Groups = list[dict[str, Any]]


def _spare_the_compiler() -> None:
    """Where torch keeps what it would have made of these methods, leave them as they were written."""
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        if written := getattr(getattr(Optimizer, name), "__wrapped__", None):
            vars(written)["__dynamo_disable"] = written
    for kind in (SGD, Adam):  # AdamW steps as Adam does
        if written := getattr(vars(kind)["step"], "__wrapped__", None):
            type.__setattr__(kind, "step", torch.no_grad()(written))


_spare_the_compiler()


def segmenter_optimizer(segmenter: Segmenter, config: OptimizerConfig) -> Optimizer:
    """Optimizer with named groups for trunk and heads; each trained tensor is in exactly one.

    AdamW decays no norms and biases (groups `trunk_no_decay`, `heads_no_decay`); SGD decays everything, as
    the published recipes do.
    """
    parts = [
        ("trunk", segmenter.trunk_parameters(), config.lr * segmenter.trunk_lr_multiplier),
        ("heads", segmenter.head_parameters(), config.lr * config.head_lr_multiplier),
    ]
    if isinstance(config, SgdConfig):
        groups = [_group(name, parameters, lr) for name, parameters, lr in parts]
        return SGD(
            _filled(groups),
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
            fused=True,
        )
    groups = [group for name, parameters, lr in parts for group in _split_by_decay(name, parameters, lr)]
    return AdamW(_filled(groups), betas=config.betas, weight_decay=config.weight_decay, fused=True)


def add_network(optimizer: Optimizer, name: str, network: nn.Module, lr: float) -> None:
    """Let the segmenter's optimizer train a network beside it, its norms and biases treated like the rest."""
    parameters = list(network.parameters())
    decays_all = not isinstance(optimizer, AdamW)
    groups = [_group(name, parameters, lr)] if decays_all else _split_by_decay(name, parameters, lr)
    for group in _filled(groups):
        optimizer.add_param_group(group)


def discriminator_optimizer(discriminator: nn.Module, config: DiscriminatorOptimizerConfig) -> Optimizer:
    """Adam over all of a discriminator."""
    return Adam(discriminator.parameters(), lr=config.lr, betas=config.betas, fused=True)


def build_schedule(optimizer: Optimizer, config: ScheduleConfig, steps: int) -> LambdaLR:
    """Schedule over optimizer steps: the update of step s (from 0) uses `learning_rate_factor` of s."""
    return LambdaLR(optimizer, lambda step: learning_rate_factor(config, step, steps))


def linear_decay(optimizer: Optimizer, start: int | None, steps: int) -> LambdaLR:
    """Constant up to step `start` (None: half of the steps), then linear to 0 at the end (CycleGAN)."""
    first = steps // 2 if start is None else start
    return LambdaLR(optimizer, lambda step: min(1.0, max(0, steps - step) / max(1, steps - first)))


def learning_rate_factor(config: ScheduleConfig, step: int, steps: int) -> float:
    """Factor on every group's learning rate at a step.

    Warm-up replaces the first factors and leaves the later ones where they are: poly is not re-based
    (MRNet's released code). From `length` on poly and linear give 0.
    """
    if step < config.warmup_steps:
        return config.warmup_start + (1 - config.warmup_start) * step / config.warmup_steps
    left = max(0.0, 1 - step / (config.length or steps))
    factors: dict[str, float] = {"poly": left**config.power, "linear": left, "constant": 1.0}
    return factors[config.name]


def _split_by_decay(name: str, parameters: list[nn.Parameter], lr: float) -> Groups:
    """Weights of convolutions and linear layers decay; vectors (norms, biases) do not."""
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    kept = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [_group(name, decayed, lr), {**_group(f"{name}_no_decay", kept, lr), "weight_decay": 0.0}]


def _group(name: str, parameters: list[nn.Parameter], lr: float) -> dict[str, Any]:
    return {"name": name, "params": parameters, "lr": lr}


def _filled(groups: Groups) -> Groups:
    return [group for group in groups if group["params"]]
