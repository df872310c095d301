"""Host to device without waiting: what every part that feeds a GPU does with its tensors."""

import torch
from torch import Tensor


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; from pinned memory a GPU fetches it without being waited for."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
