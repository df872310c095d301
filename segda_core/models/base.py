"""What every segmenter offers: normalisation of its own, low-resolution logits of one or two heads."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from segda_core.models.bilinear import bilinear
from segda_core.models.statistics import statistics_apart
from segda_core.training import lanes

AUX_WEIGHT = 0.5
"""Of the auxiliary logits where both heads predict together (MRNet, Seg-Uncertainty)."""


class Logits(NamedTuple):
    """Float32 logits of the heads."""

    main: Tensor
    """(batch, 19, height, width)."""
    aux: Tensor | None
    """The auxiliary head's, of the same shape, or None where the model has none."""

    @property
    def heads(self) -> dict[str, Tensor]:
        """By name: `main`, and `aux` where there is one."""
        return {"main": self.main} if self.aux is None else {"main": self.main, "aux": self.aux}

    @property
    def fused(self) -> Tensor:
        """Main + 0.5 auxiliary: what MRNet predicts with; the model must have both heads."""
        assert self.aux is not None
        return self.main + AUX_WEIGHT * self.aux


class Segmenter(nn.Module):
    """A segmentation network. Takes RGB images in 0-255 and normalises them itself.

    Subclasses set `has_aux` and `feature_channels`, and implement `stages`, `heads` and `trunk_parameters`.
    The normalisation constants are buffers, so they travel in checkpoints.
    """

    has_aux: bool
    feature_channels: int
    """Of the deepest trunk features."""
    trunk_lr_multiplier: float = 1.0
    """Factor on the trunk's learning rate."""
    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], align_corners: bool) -> None:
        """Mean and std are per RGB channel on the 0-255 scale."""
        super().__init__()
        self.align_corners = align_corners
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Logits:
        """RGB images (batch, 3, height, width), uint8 or float in 0-255, to logits at the model's stride."""
        return self.with_features(images)[0]

    def with_features(self, images: Tensor) -> tuple[Logits, Tensor]:
        """Logits as `forward`, and the deepest trunk features (batch, feature_channels, h, w) in float32."""
        stages = self.stages(self.normalise(images))
        main, aux = self.heads(stages)
        return Logits(main.float(), aux.float() if aux is not None else None), stages[-1].float()

    def at_image_size(self, images: Tensor) -> Logits:
        """Logits brought to the height and width of the images."""
        main, aux = self(images)
        size = images.shape[-2:]
        return Logits(self.upsample(main, size), self.upsample(aux, size) if aux is not None else None)

    def each_at_image_size(self, *batches: Tensor) -> list[Logits]:
        """`at_image_size` of several batches, each normalised by its own statistics.

        In lanes where these are open; running statistics move as if one had followed the other.
        """
        merges: list[Callable[[], None]] = []

        def apart(images: Tensor) -> Logits:
            with statistics_apart(self) as merge:
                merges.append(merge)
                return self.at_image_size(images)

        first, *others = batches
        other = apart if lanes.are_open() else self.at_image_size
        passes = [partial(self.at_image_size, first), *(partial(other, images) for images in others)]
        logits = lanes.side_by_side(passes, self.parameters())
        for merge in merges:
            merge()
        return logits

    def normalise(self, images: Tensor) -> Tensor:
        """(image - mean) / std, in float32 and channels-last, which convolutions run fastest on."""
        images = images.to(torch.float32, memory_format=torch.channels_last)
        return (images - self.mean) / self.std

    def logits(self, inputs: Tensor) -> Logits:
        """Logits of normalised images, main and auxiliary of one size."""
        return self.heads(self.stages(inputs))

    def stages(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """What the heads read of the trunk, for normalised images; the deepest comes last."""
        raise NotImplementedError

    def heads(self, stages: tuple[Tensor, ...]) -> Logits:
        """Logits of what `stages` returned, main and auxiliary of one size."""
        raise NotImplementedError

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Trained parameters of the trunk (the pretrained part), each once; all others are the heads'."""
        raise NotImplementedError

    def head_parameters(self) -> list[nn.Parameter]:
        """Trained parameters that are not the trunk's, each once."""
        trunk = {id(parameter) for parameter in self.trunk_parameters()}
        return [
            parameter
            for parameter in self.parameters()
            if parameter.requires_grad and id(parameter) not in trunk
        ]

    def upsample(self, logits: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
        """Bilinear to (height, width), with this model's one value of align_corners."""
        if logits.is_cuda and logits.dtype == torch.float32:
            return bilinear(logits, size, align_corners=self.align_corners)
        return functional.interpolate(logits, size=size, mode="bilinear", align_corners=self.align_corners)
