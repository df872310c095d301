"""`dacc`: can a discriminator that no segmenter was trained against tell the domains by their output maps?

The one of a run's own training is no measure: it was fooled by that very segmenter, and no two are alike.
"""

import numpy as np
import torch
from torch import Tensor

from segda_core.losses import adversarial_loss
from segda_core.models.discriminators import OutputDiscriminator

STEPS = 2000
BATCH_SIZE = 4
"""Maps of each domain in a step."""
CHANNELS = 64
TRAIN_SHARE = 0.8
SOURCE, TARGET = 0.0, 1.0


def discriminator_accuracy(source: Tensor, target: Tensor, device: torch.device, steps: int) -> float:
    """Mean over the domains of the share of held-out patches told right; (images, 19, height, width) maps.

    AdaptSegNet's discriminator and optimizer (Adam 1e-4), trained on 80 % of the images of each domain.
    """
    rng = np.random.default_rng(0)
    parts = [_split(maps, rng) for maps in (source, target)]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():  # initial weights are drawn on the host
        torch.manual_seed(0)
        network = OutputDiscriminator(CHANNELS).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.99))
        for _ in range(steps):
            batches = [_draw(train, rng, device) for train, _ in parts]
            losses = [
                adversarial_loss(network(batch), label, "bce")
                for batch, label in zip(batches, (SOURCE, TARGET), strict=True)
            ]
            optimizer.zero_grad()
            torch.autograd.backward(torch.stack(losses).mean())
            optimizer.step()
    with torch.no_grad():
        of_source, of_target = (_scores(network, held_out, device) for _, held_out in parts)
    return float(((of_source < 0).double().mean() + (of_target > 0).double().mean()) / 2)


def _split(maps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    order = torch.from_numpy(rng.permutation(len(maps)))
    cut = round(TRAIN_SHARE * len(maps))
    return maps[order[:cut]], maps[order[cut:]]


def _draw(maps: Tensor, rng: np.random.Generator, device: torch.device) -> Tensor:
    return maps[torch.from_numpy(rng.integers(len(maps), size=BATCH_SIZE))].to(device).float()


def _scores(network: OutputDiscriminator, maps: Tensor, device: torch.device) -> Tensor:
    return torch.cat([network(part.to(device).float()).cpu() for part in torch.split(maps, BATCH_SIZE)])
