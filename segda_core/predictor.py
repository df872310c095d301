"""From images to train ids under a protocol: input sizes, mirroring, fusion of heads and passes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segda_core.config import Protocol, Size
from segda_core.data.labels import Pixels
from segda_core.data.transforms import resize
from segda_core.errors import ConfigError
from segda_core.models.base import Segmenter


@dataclass(frozen=True)
class Pass:
    """One run of the network: the image is brought to `size`, then perhaps padded and mirrored."""

    size: Size
    """(width, height)."""
    padding: tuple[int, int]
    """Zero columns at the right and rows at the bottom of the normalised image."""
    mirror: bool

    @property
    def input_size(self) -> Size:
        """(width, height) of what the network sees."""
        return self.size[0] + self.padding[0], self.size[1] + self.padding[1]


def passes(protocol: Protocol, size: Size, label_size: Size) -> list[Pass]:
    """Every run the protocol asks for; `size` is the default input size. All are (width, height)."""
    bases = (label_size,) if protocol.at_label_size else protocol.input_sizes or (size,)
    flips = (False, True) if protocol.mirror else (False,)
    return [
        Pass(scaled, _padding(scaled, protocol.pad_to_odd), mirror)
        for base in bases
        for scaled in ((round(base[0] * scale), round(base[1] * scale)) for scale in protocol.scales)
        for mirror in flips
    ]


def _padding(size: Size, pad_to_odd: bool) -> tuple[int, int]:
    return ((size[0] + 1) % 2, (size[1] + 1) % 2) if pad_to_odd else (0, 0)


class Predictor:
    """Applies one segmenter under one protocol, in float32 and without gradients.

    Passes give logits where there is one of the main head alone; otherwise probabilities, made at the
    network's own resolution, upsampled and summed.
    """

    def __init__(self, segmenter: Segmenter, protocol: Protocol, size: Size) -> None:
        if protocol.fusion == "main_and_aux" and not segmenter.has_aux:
            raise ConfigError(["protocol: fusion main_and_aux needs an auxiliary head; this model has none"])
        self.segmenter = segmenter
        self.protocol = protocol
        self.size = size
        own = segmenter.align_corners
        self.align_corners = own if protocol.align_corners is None else protocol.align_corners

    def predict(self, images: list[Pixels], label_size: Size) -> Tensor:
        """Train ids (batch, height, width) uint8 at `label_size`, of equally large RGB images."""
        runs = passes(self.protocol, self.size, label_size)
        probabilities = len(runs) > 1 or self.protocol.fusion == "main_and_aux"
        return classes_of(self._total(images, label_size, runs, probabilities)).to(torch.uint8)

    def probabilities(self, images: list[Pixels], label_size: Size) -> Tensor:
        """Mean probabilities of all passes, (batch, 19, height, width) at `label_size`, of such images."""
        runs = passes(self.protocol, self.size, label_size)
        return self._total(images, label_size, runs, probabilities=True).div_(len(runs))

    @torch.no_grad()
    def _total(self, images: list[Pixels], label_size: Size, runs: list[Pass], probabilities: bool) -> Tensor:
        """Scores or probabilities at label size, summed over the passes."""
        total: Tensor | None = None
        for inputs, run in self._inputs(images, runs):
            scores = self._run(inputs, run, label_size, probabilities)
            total = scores if total is None else total.add_(scores)
        assert total is not None
        return total

    def _inputs(self, images: list[Pixels], runs: list[Pass]) -> Iterator[tuple[Tensor, Pass]]:
        """Resized RGB images (batch, 3, height, width) for each pass; equal sizes are resized once."""
        size: Size | None = None
        batch = torch.empty(0)
        for run in runs:
            if run.size != size:
                size = run.size
                resized = np.stack([resize(image, size) for image in images])
                batch = torch.from_numpy(resized).to(self.segmenter.mean.device).permute(0, 3, 1, 2)
            yield batch, run

    def _run(self, images: Tensor, run: Pass, label_size: Size, probabilities: bool) -> Tensor:
        """Scores (batch, 19, height, width) at label size of one pass."""
        inputs = self.segmenter.normalise(images.flip(-1) if run.mirror else images)
        right, below = run.padding
        logits = self.segmenter.logits(functional.pad(inputs, (0, right, 0, below)))
        scores = logits.fused if self.protocol.fusion == "main_and_aux" else logits.main
        if probabilities:
            scores = scores.softmax(dim=1)
        scores = self._at_label_size(scores, run, label_size)
        return scores.flip(-1) if run.mirror else scores

    def _at_label_size(self, scores: Tensor, run: Pass, label_size: Size) -> Tensor:
        """Upsample, then cut away what the padding added."""
        width, height = label_size
        right, below = run.padding  # padded passes run at label size
        size = (height + below, width + right)
        scores = functional.interpolate(scores, size=size, mode="bilinear", align_corners=self.align_corners)
        return scores[..., :height, :width]


def classes_of(scores: Tensor) -> Tensor:
    """Train ids (batch, height, width) of the highest scores; on CPUs `max` is faster than `argmax`."""
    return scores.max(dim=1).indices
