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
from segda_core.inference.upsampling import Layer, classes_of, summed_bands
from segda_core.inference.winners import classes_at_label_size
from segda_core.models.base import Segmenter
from segda_core.models.modes import evaluation_mode
from segda_core.transfer import moved


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
    """Applies one segmenter under one protocol, in float32, in evaluation mode and without gradients.

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
        with evaluation_mode([self.segmenter]):
            return classes_at_label_size(self._layers(images, label_size, runs, probabilities))

    def confidence(self, images: list[Pixels], label_size: Size) -> tuple[Tensor, Tensor]:
        """Highest mean probability over all passes, and its train id, each (batch, height, width)."""
        runs = passes(self.protocol, self.size, label_size)
        with evaluation_mode([self.segmenter]):
            layers = self._layers(images, label_size, runs, probabilities=True)
            bands = [(total.amax(dim=1), classes_of(total)) for total in summed_bands(layers)]
        confidence, classes = (torch.cat(parts, dim=1) for parts in zip(*bands, strict=True))
        return confidence.div_(len(runs)), classes

    def _layers(
        self, images: list[Pixels], label_size: Size, runs: list[Pass], probabilities: bool
    ) -> list[Layer]:
        """Scores or probabilities of each pass, at the network's own resolution."""
        return [
            Layer.at_size(
                self._scores(inputs, run, probabilities),
                label_size[::-1],
                padding=run.padding,
                align_corners=self.align_corners,
                mirror=run.mirror,
            )
            for inputs, run in self._inputs(images, runs)
        ]

    def _inputs(self, images: list[Pixels], runs: list[Pass]) -> Iterator[tuple[Tensor, Pass]]:
        """Resized RGB images (batch, 3, height, width) for each pass; equal sizes are resized once."""
        size: Size | None = None
        batch = torch.empty(0)
        for run in runs:
            if run.size != size:
                size = run.size
                resized = np.stack([resize(image, size) for image in images])
                batch = moved(torch.from_numpy(resized), self.segmenter.mean.device).permute(0, 3, 1, 2)
            yield batch, run

    def _scores(self, images: Tensor, run: Pass, probabilities: bool) -> Tensor:
        """Scores (batch, 19, height, width) of one pass, as the network sees it: perhaps padded, mirrored."""
        inputs = self.segmenter.normalise(images.flip(-1) if run.mirror else images)
        right, below = run.padding
        logits = self.segmenter.logits(functional.pad(inputs, (0, right, 0, below)))
        scores = logits.fused if self.protocol.fusion == "main_and_aux" else logits.main
        return scores.softmax(dim=1) if probabilities else scores
