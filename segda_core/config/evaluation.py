"""How trained segmenters are scored and measured."""

from typing import Annotated, Literal

from pydantic import Field

from segda_core.classes import CLASSES
from segda_core.config.base import LIST, NOT_IN_IDENTITY, ClassNames, Frozen, Size


class Protocol(Frozen):
    """How predictions are made from a network: two mIoU are comparable only where all of this is equal."""

    input_sizes: Annotated[tuple[Size, ...], LIST] | None = None
    """(width, height) of each pass; None: `evaluation.size`. Ignored where `at_label_size`."""
    at_label_size: bool = False
    """One pass at the label's own size."""
    pad_to_odd: bool = False
    """Zero-pad the normalised image by one pixel right and below (SegmenTron's evaluation)."""
    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], LIST] = (1.0,)
    """Factors on each input size."""
    mirror: bool = False
    """Every pass again on the mirrored image."""
    fusion: Literal["main", "main_and_aux"] = "main"
    """main_and_aux: softmax(main + 0.5 * aux), MRNet's fusion."""
    align_corners: bool | None = None
    """Of the upsampling to label size; None: the model's own."""
    network: Literal["student", "teacher"] = "student"


ProtocolName = Literal["single", "mirror", "multi_scale", "fused", "full", "p_asn", "p_mr", "p_seg"]

PROTOCOLS: dict[str, Protocol] = {
    "single": Protocol(),
    "mirror": Protocol(mirror=True),
    "multi_scale": Protocol(scales=(0.75, 1.0, 1.25), mirror=True),
    "fused": Protocol(fusion="main_and_aux"),
    "full": Protocol(at_label_size=True),
    "p_asn": Protocol(input_sizes=((1024, 512),), align_corners=True),
    "p_mr": Protocol(
        input_sizes=((1024, 512), (1280, 640)), mirror=True, fusion="main_and_aux", align_corners=True
    ),
    "p_seg": Protocol(at_label_size=True, pad_to_odd=True, align_corners=True),
}
"""Preset protocols; the last three score as AdaptSegNet, MRNet (Seg-Uncertainty) and SegmenTron published."""


class EvaluationConfig(Frozen):
    """Scoring on the whole validation split against labels at their full size."""

    classes: ClassNames = CLASSES
    """mIoU is the mean over exactly these."""
    size: Size
    """(width, height) of the network's input under the presets that do not fix one."""
    protocol: ProtocolName = "single"
    network: Literal["student", "teacher"] = "student"
    """What is scored and whose final weights are kept; teacher: of methods that have one."""
    every: Annotated[int, Field(ge=0), NOT_IN_IDENTITY] = 0
    """Also evaluate every so many steps; 0: at the end only."""


class QualityConfig(Frozen):
    """Label-free measures of adaptation at a trial's end, on training images, never on validation images.

    They change neither weights nor mIoU. The target's labels stay closed, but its images are opened for
    measurement also where the method or the subset would not.
    """

    images: Annotated[int, Field(ge=0)] = 64
    """Of each domain, the first of one fixed order; 0 measures nothing."""
    midway: bool = False
    """Also at every evaluation of `evaluation.every`, into the history: quality beside mIoU over time."""
