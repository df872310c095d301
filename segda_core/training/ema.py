"""The EMA teacher: a copy of the student whose parameters follow the student's by a running average."""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

Network = TypeVar("Network", bound=nn.Module)


def make_teacher(student: Network) -> Network:
    """A copy without gradients and without dropout, in training mode: its batch norm sees its own batches.

    The drop probabilities are set to 0, so that no later change of mode brings dropout back.
    """
    teacher = copy.deepcopy(student).requires_grad_(False).train()
    for module in teacher.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        elif isinstance(getattr(module, "drop_prob", None), float):  # stochastic depth
            vars(module)["drop_prob"] = 0.0
    return teacher


def decay(step: int, largest: float) -> float:
    """alpha_t = min(1 - 1 / (t + 1), alpha) after optimizer step t - 1: the mean of all students at first.

    The first call (step 0) therefore gives 1/2, as in the released code, which averages before the next step.
    """
    return min(1 - 1 / (step + 2), largest)


def follow(teacher: nn.Module, student: nn.Module, alpha: float) -> None:
    """teacher = alpha * teacher + (1 - alpha) * student, parameters only; buffers stay the teacher's own."""
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - alpha)
