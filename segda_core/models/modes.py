"""Networks that only look: nothing they hold moves, whatever runs through them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluation_mode(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Networks in evaluation mode and without gradients; their modes return afterwards."""
    modes = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for network, mode in zip(networks, modes, strict=True):
            network.train(mode)
