"""Colour jitter and Gaussian blur of batches on the training device, each image by its own parameters.

Images are float, (batch, 3, height, width), RGB in 0-255. The parameters come from outside as tensors: the
same shapes and kernels whatever is drawn, and nothing that the host would have to wait for.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from segda_core.config import StrongConfig
from segda_core.data.transforms import BLUR_SIGMA

GREY = (0.2989, 0.587, 0.114)
"""Luma weights of torchvision's jitter of tensors; of Pillow's images it is `data.transforms.GREY`."""

PARAMETERS = 5
"""Of one image: factors of brightness, contrast and saturation, hue shift in turns, standard deviation."""


def draw_parameters(rng: np.random.Generator, config: StrongConfig) -> NDArray[np.float64]:
    """The `PARAMETERS` of one image; always takes seven numbers from the generator.

    Where jitter or blur is not applied its parameters are those that change nothing.
    """
    jittered, blurred, sigma, *shifts = rng.random(7)
    parameters = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    if jittered < config.jitter_probability:
        parameters[:4] += config.jitter * (2 * np.array(shifts) - 1)
    if blurred < config.blur_probability:
        parameters[4] = BLUR_SIGMA[0] + sigma * (BLUR_SIGMA[1] - BLUR_SIGMA[0])
    return parameters


def strong_augmentation(images: Tensor, parameters: Tensor) -> Tensor:
    """Jitter, then blur, by parameters (batch, `PARAMETERS`); in float32 also under autocast."""
    with torch.autocast(images.device.type, enabled=False):
        images = images.float()
        return gaussian_blur(colour_jitter(images, parameters[:, :4]), parameters[:, 4])


def colour_jitter(images: Tensor, parameters: Tensor) -> Tensor:
    """Brightness, contrast about the image's mean grey, saturation and hue, in this order, each clipped."""
    brightness, contrast, saturation, turns = (column.view(-1, 1, 1, 1) for column in parameters.unbind(1))
    images = (images * brightness).clamp(0, 255)
    mean = grey(images).mean(dim=(1, 2, 3), keepdim=True)
    images = torch.lerp(mean, images, contrast).clamp(0, 255)
    images = torch.lerp(grey(images), images, saturation).clamp(0, 255)
    return shift_hue(images, turns)


def grey(images: Tensor) -> Tensor:
    """(batch, 1, height, width)."""
    red, green, blue = torch.split(images, 1, dim=1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue; value (largest channel) and chroma (largest minus smallest) stay."""
    red, green, blue = torch.split(images, 1, dim=1)
    value = images.amax(dim=1, keepdim=True)
    chroma = value - images.amin(dim=1, keepdim=True)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    below_red = torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    hue = torch.where(value == red, (green - blue) / divisor, below_red) + 6 * turns  # in sixths of a turn
    places = ((start + hue) % 6 for start in (5, 3, 1))
    return torch.cat([value - chroma * torch.minimum(at, 4 - at).clamp(0, 1) for at in places], dim=1)


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur by a standard deviation (batch,) in pixels, 0 for none; kernels are about 10 % of each side."""
    images = _blur_rows(images, sigma, kernel_size(images.shape[3]))
    return _blur_rows(images.mT, sigma, kernel_size(images.shape[2])).mT


def kernel_size(side: int) -> int:
    """The largest odd number up to 10 % of a side, which is first rounded up."""
    tenth = math.ceil(0.1 * side)
    return tenth - 1 + tenth % 2


def _blur_rows(images: Tensor, sigma: Tensor, size: int) -> Tensor:
    batch, channels, height, width = images.shape
    offsets = torch.arange(size, device=images.device) - size // 2
    widths = sigma.clamp(min=1e-3).view(-1, 1)  # so narrow that all weight is on the pixel itself
    kernels = torch.softmax(-((offsets / widths) ** 2) / 2, dim=1)
    rows = images.reshape(1, batch, channels * height, width)
    rows = functional.pad(rows, (size // 2, size // 2, 0, 0), mode="reflect")
    return functional.conv2d(rows, kernels.view(batch, 1, 1, size), groups=batch).view(images.shape)
