"""Entropies and divergences of class distributions, along the last axis, in nats unless said otherwise."""

import math

import torch
from torch import Tensor

from segda_core.classes import NUM_CLASSES


def entropy(probabilities: Tensor) -> Tensor:
    """-sum p log p."""
    return -torch.xlogy(probabilities, probabilities).sum(dim=-1)


def normalised_entropy(mean_entropy: Tensor) -> float:
    """An entropy of 19 classes as a share of the largest."""
    return float(mean_entropy) / math.log(NUM_CLASSES)


def kullback_leibler(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """KL(softmax(p) || softmax(q))."""
    p, q = p_logits.log_softmax(dim=-1), q_logits.log_softmax(dim=-1)
    return (p.exp() * (p - q)).sum(dim=-1)


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Of two distributions, in bits: 0 where they are equal, 1 where they share no class."""
    return (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2) / math.log(2)


def shares(counts: Tensor) -> Tensor:
    """Counts as a distribution; a row without a count stays zero."""
    counts = counts.double()
    return counts / counts.sum(dim=-1, keepdim=True).clamp(min=1)
