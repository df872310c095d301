"""Host to device without waiting: what every part that feeds a GPU does with its tensors."""

from collections import deque

import torch
from torch import Tensor

AHEAD = 2
"""Steps that may be waiting for a GPU, each with its images there."""


def moved(tensor: Tensor, device: torch.device, stream: torch.cuda.Stream | None = None) -> Tensor:
    """The tensor on the device; from pinned memory a GPU fetches it without being waited for.

    On a stream for copies it does so beside what it computes, which only then goes on with what needs it.
    """
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    if stream is None:
        return tensor.to(device, non_blocking=True)
    computing = torch.cuda.current_stream(device)
    with torch.cuda.stream(stream):
        copy = tensor.to(device, non_blocking=True)
    computing.wait_stream(stream)
    copy.record_stream(computing)
    return copy


class Copies:
    """A GPU's stream for the copies of a step, which come while the step before is computed."""

    def __init__(self, device: torch.device) -> None:
        self.stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self.stream = torch.cuda.Stream(device)
        self._begun: deque[torch.cuda.Event] = deque()

    def begin_step(self) -> None:
        """Wait until no more than `AHEAD` steps are still to be computed: memory is used again only then."""
        if self.stream is None:
            return
        self._begun.append(torch.cuda.current_stream(self.stream.device).record_event())
        if len(self._begun) > AHEAD:
            self._begun.popleft().synchronize()
