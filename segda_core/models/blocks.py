"""Convolution blocks that more than one segmenter is made of, and how a network's blocks are compiled."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import nn

Norm = Literal["batch", "group"]


def compile_blocks(networks: Iterable[nn.Module], backend: str = "inductor") -> None:
    """Let torch compile every block marked `repeated` when it first runs; it caches them on this host.

    A whole step takes minutes to compile, its blocks seconds. Discriminators with a gradient penalty are not
    among them: torch compiles no double backward. What has kernels of its own for a GPU (`fused`) may run
    them: batch norms, where the network says what follows them, and DeepLabV2's heads.
    """
    # kinds of block (lite0: 12) x sizes of images x with gradients, without, and with averages unmoved
    torch._dynamo.config.recompile_limit = 128
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor")  # read by dynamo itself
    for network in networks:
        for module in network.modules():
            if getattr(module, "repeated", False):
                module.compile(backend=backend, dynamic=False)
            elif type(module) is nn.BatchNorm2d or hasattr(module, "fused"):
                vars(module)["fused"] = True


_as_written: ContextVar[bool] = ContextVar("as_written", default=False)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Where compiled blocks, and those with kernels of their own, run as they are written."""
    token = _as_written.set(True)
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        _as_written.reset(token)


def as_written() -> bool:
    """Whether this runs within `uncompiled`."""
    return _as_written.get()


def norm_layer(channels: int, norm: Norm) -> nn.Module:
    """Batch norm, or group norm with eight groups (channels must be a multiple of eight)."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(8, channels)


def conv_norm_relu(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, norm: Norm = "batch"
) -> nn.Sequential:
    """Convolution that keeps the size (divided by stride, rounded up), norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        norm_layer(outputs, norm),
        nn.ReLU(inplace=True),
    )


def classifier(inputs: int, outputs: int) -> nn.Conv2d:
    """1x1 convolution to logits that start near zero, so that early gradients reach every class alike."""
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def init_convolutions(module: nn.Module) -> None:
    """He initialisation (fan out) of every convolution in the module, for training from scratch."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
