"""A step's forward and backward passes recorded once and replayed, so that Python costs them nothing.

A recording repeats operations on the memory they had: a step's images and what was prepared of them are
copied there first. Everything else that the passes read from Python has to be the same in every step, and
tensors of a method or network have to be written in place. Optimizers, schedules, `prepare` and `after_step`
are no part of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol, get_args

import torch
from torch import Tensor

from segda_core.config import RECORDED_AFTER, Stream
from segda_core.methods.base import Batch, DomainBatch, Prepared, Tensors
from segda_core.training.lanes import Lanes, opened

Run = Callable[[], list[Tensors]]
Passes = Callable[[list[Batch], list[Prepared], int], list[Tensors]]
"""(micro-batches, what was prepared of each, step) to each one's losses; leaves the gradients in place."""


class Recording(Protocol):
    """Something that can repeat operations on the memory they used."""

    def warm_up(self, run: Run) -> list[Tensors]:
        """What `run` returns, run where it will be recorded."""

    def record(self, run: Run) -> list[Tensors]:
        """What `run` returns, to be filled by `replay`."""

    def replay(self) -> None:
        """Repeat what was recorded."""

    def forget(self) -> None:
        """Give back the memory of what was recorded."""


class CudaGraph:
    """A recording on a GPU (torch.cuda.CUDAGraph)."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.lanes = Lanes(device)

    def warm_up(self, run: Run) -> list[Tensors]:
        """On the stream that records, so that autograd's accumulators belong to it."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream), opened(self.lanes):
            results = run()
        current.wait_stream(self.stream)
        return results

    def record(self, run: Run) -> list[Tensors]:
        """Nothing is computed meanwhile; other threads (NCCL's) may go on asking the device."""
        self.graph = torch.cuda.CUDAGraph()
        try:
            with (
                torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"),
                opened(self.lanes),
            ):
                return run()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # raised on leaving; what was not allowed came before
            cause = error.__context__ or error
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            raise RuntimeError(
                f"a CUDA graph cannot record the step: {cause}; capture: false runs it as usual"
            ) from error

    def replay(self) -> None:
        """On the current stream, without waiting."""
        assert self.graph is not None
        self.graph.replay()

    def forget(self) -> None:
        """With the graph goes its pool."""
        self.graph = None


class Captured:
    """Passes that are recorded after `RECORDED_AFTER` steps of one shape, and replayed from then on."""

    def __init__(self, passes: Passes, recording: Recording) -> None:
        self.passes = passes
        self.recording = recording
        self._shapes: Any = None
        self._steps = 0
        self._batches: list[Batch] = []
        self._prepared: list[Prepared] = []
        self._results: list[Tensors] = []

    def __call__(self, batches: list[Batch], prepared: list[Prepared], step: int) -> list[Tensors]:
        """The losses; where they were replayed, the next step overwrites them."""
        shapes = [(tensor.shape, tensor.dtype) for tensor in tensors_of(batches, prepared)]
        if shapes != self._shapes:
            self._shapes, self._steps = shapes, 0
            self._batches, self._prepared, self._results = [], [], []
            self.recording.forget()
        self._steps += 1
        if self._steps <= RECORDED_AFTER:
            return self.recording.warm_up(lambda: self.passes(batches, prepared, step))
        if not self._results:
            self._batches = [without_numbers(batch) for batch in batches]
            self._prepared = [own_copy(each) for each in prepared]
            self._results = self.recording.record(lambda: self.passes(self._batches, self._prepared, step))
        kept = tensors_of(self._batches, self._prepared)
        for mine, given in zip(kept, tensors_of(batches, prepared), strict=True):
            mine.copy_(given)
        self.recording.replay()
        return self._results


def tensors_of(batches: list[Batch], prepared: list[Prepared]) -> Iterator[Tensor]:
    """Everything in them that lies on the device, in a fixed order."""
    for batch in batches:
        for domain in domains_of(batch).values():
            yield domain.images
            if domain.labels is not None:
                yield domain.labels
    for each in prepared:
        yield from each.counts.values()
        yield from each.tensors.values()


def domains_of(batch: Batch) -> dict[str, DomainBatch]:
    """The streams that it has."""
    found = {stream: getattr(batch, stream) for stream in get_args(Stream)}
    return {stream: domain for stream, domain in found.items() if domain is not None}


def without_numbers(batch: Batch) -> Batch:
    """The same images and labels; a replay could not follow which of the data set they are."""
    domains = {stream: replace(domain, numbers=()) for stream, domain in domains_of(batch).items()}
    return Batch(**domains, indices=())


def own_copy(prepared: Prepared) -> Prepared:
    """The same in memory of its own: a method may have handed out tensors that it keeps."""
    counts = {name: tensor.clone() for name, tensor in prepared.counts.items()}
    tensors = {name: tensor.clone() for name, tensor in prepared.tensors.items()}
    return replace(prepared, counts=counts, tensors=tensors)
