"""Parts of a captured step that do not need each other, each in a lane: on a CUDA stream of its own.

Few images leave most of a GPU idle, and layers that compute and layers that move memory fill each other's
gaps. Only captured steps have lanes, see `opened`: in others the GPU waits for Python anyway. Without lanes
everything here runs its parts one after the other, on the current stream.

The memory of a tensor is used again by the stream that it was made on as soon as Python has dropped it. What
another stream reads has to be recorded there (`Tensor.record_stream`); the functions below do it for what
they are told of. Gradients need nothing: autograd goes back on each operation's own stream, and waits.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge, set_warn_on_accumulate_grad_stream_mismatch

Outputs = TypeVar("Outputs", bound=tuple[Tensor | None, ...])


class Lanes:
    """Streams that leave the current one and are joined with it again; every step has the same ones."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._streams: list[torch.cuda.Stream] = []
        self._lent = 0
        set_warn_on_accumulate_grad_stream_mismatch(False)  # lanes add to the gradients of one stream

    def current(self) -> torch.cuda.Stream:
        """The stream that operations are issued on."""
        return torch.cuda.current_stream(self.device)

    def fork(self, point: torch.cuda.Event | None = None) -> torch.cuda.Stream:
        """A stream that begins where the current one is, or was at that point."""
        if self._lent == len(self._streams):
            self._streams.append(torch.cuda.Stream(self.device))
        stream = self._streams[self._lent]
        self._lent += 1
        stream.wait_event(point or self.current().record_event())
        return stream

    def join(self) -> None:
        """The current stream waits for all that were forked since the last time."""
        for stream in self._streams[: self._lent]:
            self.current().wait_stream(stream)
        self._lent = 0


_opened: ContextVar[Lanes | None] = ContextVar("lanes", default=None)


@contextmanager
def opened(lanes: Lanes) -> Iterator[None]:
    """What runs within may part into these lanes."""
    token = _opened.set(lanes)
    try:
        yield
    finally:
        _opened.reset(token)


def are_open() -> bool:
    """Whether parts run side by side here."""
    return _opened.get() is not None


def side_by_side(
    passes: Sequence[Callable[[], Outputs]], parameters: Iterable[nn.Parameter]
) -> list[Outputs]:
    """What the passes return, which all use these parameters and write nothing in common.

    Backward passes run side by side too. `join` has to follow them.
    """
    lanes = _opened.get()
    if lanes is None:
        return [_with_its_own_casts(each) for each in passes]
    # Gradients are added up on the stream that first used the parameter. Were that the first pass's, its
    # backward pass would wait for all others', which autograd issues first.
    accumulators = [get_gradient_edge(each).node for each in parameters if each.requires_grad]
    results, streams = [], []
    for each in passes:
        streams.append(lanes.fork())
        with torch.cuda.stream(streams[-1]):
            results.append(_with_its_own_casts(each))
    del accumulators  # the passes hold them now
    for stream, result in zip(streams, results, strict=True):
        lanes.current().wait_stream(stream)
        _record((tensor for tensor in result if tensor is not None), lanes.current())
    return results


def mark() -> torch.cuda.Event | None:
    """Where the current stream is, for `behind`; None without lanes."""
    lanes = _opened.get()
    return None if lanes is None else lanes.current().record_event()


@contextmanager
def behind(point: torch.cuda.Event | None, tensors: Iterable[Tensor]) -> Iterator[None]:
    """What runs within begins where `mark` was called, and of what follows needs these tensors alone.

    `join` has to follow. Without a point it runs in its place.
    """
    lanes = _opened.get()
    if lanes is None or point is None:
        yield
        return
    stream = lanes.fork(point)
    _record(tensors, stream)
    with torch.cuda.stream(stream):
        yield


def join() -> None:
    """The current stream waits for every lane."""
    lanes = _opened.get()
    if lanes is not None:
        lanes.join()


def _with_its_own_casts(run: Callable[[], Outputs]) -> Outputs:
    """What it returns, by weights that autocast casts for it alone.

    What one lane cast is not there yet for another; without lanes, gradients are to be added up as with them.
    """
    torch.clear_autocast_cache()
    outputs = run()
    torch.clear_autocast_cache()
    return outputs


def _record(tensors: Iterable[Tensor], stream: torch.cuda.Stream) -> None:
    for tensor in tensors:
        tensor.record_stream(stream)
