"""What the full set notes beside the usual: horizontal bands, whole output maps, test-time augmentation."""

import torch
from torch import Tensor
from torch.nn import functional

from segda_core.classes import NUM_CLASSES
from segda_core.config import PROTOCOLS, Size
from segda_core.data.labels import Pixels
from segda_core.inference.predictor import Predictor
from segda_core.metrics import confusion_matrices
from segda_core.models.base import Segmenter
from segda_core.quality.observe import Look, Tensors, View

BANDS = 8
"""Horizontal, from the top: sky is not road, which whole-image histograms cannot see."""

LEAST_SIDE = 32
"""Of output maps, which the discriminator halves five times: smaller ones are enlarged."""


def predicted_bands(view: View) -> Tensors:
    """Mean prediction (batch, 8, 19) of each band."""
    probabilities = view.main.softmax(dim=1)
    return {"bands": functional.adaptive_avg_pool2d(probabilities, (BANDS, 1))[..., 0].movedim(1, 2)}


def labelled_bands(view: View) -> Tensors:
    """Labelled pixels (batch, 8, 19) of each class in each band."""
    return {"label_bands": torch.stack([_band_counts(sample.label) for sample in view.samples])}


def _band_counts(label: Pixels | None) -> Tensor:
    assert label is not None
    bands = torch.tensor_split(torch.tensor(label).long(), BANDS)
    return torch.stack([torch.bincount(band.flatten(), minlength=256)[:NUM_CLASSES] for band in bands])


def output_maps(view: View) -> Tensors:
    """Class probabilities (batch, 19, height, width) as a discriminator is shown them, in half precision."""
    maps = view.main.softmax(dim=1)
    factor = LEAST_SIDE / min(maps.shape[-2:])
    if factor > 1:
        size = [max(LEAST_SIDE, round(side * factor)) for side in maps.shape[-2:]]
        maps = functional.interpolate(maps, size=size, mode="bilinear")
    return {"maps": maps.half()}


def augmented_agreement(segmenter: Segmenter, size: Size) -> Look:
    """A look at how far the fused prediction of several scales and their mirrors is the same."""
    predictor = Predictor(segmenter, PROTOCOLS["multi_scale"], size)

    def look(view: View) -> Tensors:
        height, width = view.main.shape[-2:]
        fused = predictor.predict([sample.image for sample in view.samples], (width, height))
        return {"augmented": confusion_matrices(view.predicted, fused)}

    return look
