"""Segmentation networks by the name a sweep gives them; `build_segmenter` is how a trial gets its own."""

from collections.abc import Callable
from typing import Any

from segda_core.config import ModelConfig
from segda_core.models.base import Segmenter
from segda_core.models.deeplabv2 import DeepLabV2
from segda_core.models.deeplabv2_mrnet import DeepLabV2MRNet
from segda_core.models.deeplabv3plus import DeepLabV3Plus
from segda_core.models.lite0 import Lite0
from segda_core.models.tiny import Tiny

MODELS: dict[str, Callable[[Any], Segmenter]] = {
    "tiny": Tiny,
    "lite0": Lite0,
    "deeplabv2_resnet101": DeepLabV2,
    "deeplabv2_mrnet_resnet101": DeepLabV2MRNet,
    "deeplabv3plus_resnet101": DeepLabV3Plus,
}
"""Name -> class; each takes its own configuration."""


def build_segmenter(config: ModelConfig) -> Segmenter:
    """The configured network with its initial weights, on the CPU; `ConfigError` if it cannot have them."""
    return MODELS[config.name](config)
