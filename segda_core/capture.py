"""A step's forward and backward passes recorded once and replayed, so that Python costs them nothing.

A recording repeats operations on the same memory: what the passes read of the step's images and preparations
is copied there first, and whatever else they read from Python stays as it was while recording. So a method
says by its `phase` when that has changed, and which passes cannot be recorded at all. Optimizers, schedules,
`prepare` and `after_step` are no part of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol, get_args

import torch
from torch import Tensor

from segda_core.config import Stream
from segda_core.methods.base import Batch, DomainBatch, Method, Prepared, Tensors

WARM_UP = 3
"""Steps run as usual before one is recorded: libraries choose their kernels, compiled parts are compiled."""

Run = Callable[[], list[Tensors]]
Passes = Callable[[list[Batch], list[Prepared], int], list[Tensors]]
"""(micro-batches, what was prepared of each, step) to each one's losses; leaves the gradients in place."""


class Recording(Protocol):
    """Something that can repeat operations on the memory they used."""

    def warm_up(self, run: Run) -> list[Tensors]:
        """What `run` returns, run where it will be recorded."""

    def record(self, run: Run) -> list[Tensors]:
        """What `run` returns, which is filled by `replay` alone; forgets what was recorded before."""

    def replay(self) -> None:
        """Repeat what was recorded."""


class CudaGraph:
    """A recording on a GPU (torch.cuda.CUDAGraph)."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.graph = torch.cuda.CUDAGraph()

    def warm_up(self, run: Run) -> list[Tensors]:
        """On the stream that records, so that autograd's accumulators belong to it."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            results = run()
        current.wait_stream(self.stream)
        return results

    def record(self, run: Run) -> list[Tensors]:
        """Nothing is computed; only this thread is kept from waiting for the device: loaders pin memory."""
        self.graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
                return run()
        except RuntimeError as error:
            error.add_note("while recording a CUDA graph; capture: false runs every step as usual")
            raise

    def replay(self) -> None:
        """On the current stream, without waiting."""
        self.graph.replay()


class Captured:
    """Passes that are recorded after `WARM_UP` steps of one phase and one shape, and then replayed."""

    def __init__(self, passes: Passes, method: Method, recording: Recording) -> None:
        self.passes = passes
        self.method = method
        self.recording = recording
        self.replayed = 0
        """Steps."""
        self._key: Any = None
        self._run = 0
        self._batches: list[Batch] = []
        self._prepared: list[Prepared] = []
        self._results: list[Tensors] = []

    def __call__(self, batches: list[Batch], prepared: list[Prepared], step: int) -> list[Tensors]:
        """The losses; where they were replayed, the next step overwrites them."""
        phase = self.method.phase(step)
        if phase is None:
            return self.passes(batches, prepared, step)
        key = phase, [(tensor.shape, tensor.dtype) for tensor in tensors_of(batches, prepared)]
        if key != self._key:
            self._key, self._run, self._results = key, 0, []
        self._run += 1
        if self._run <= WARM_UP:
            return self.recording.warm_up(lambda: self.passes(batches, prepared, step))
        if not self._results:
            self._batches = [own_copy(batch) for batch in batches]
            self._prepared = [copied(each) for each in prepared]
            self._results = self.recording.record(lambda: self.passes(self._batches, self._prepared, step))
        kept = tensors_of(self._batches, self._prepared)
        for mine, given in zip(kept, tensors_of(batches, prepared), strict=True):
            mine.copy_(given)
        self.recording.replay()
        self.replayed += 1
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


def own_copy(batch: Batch) -> Batch:
    """The same images and labels in memory of their own, without the numbers that another step has not."""

    def copied(domain: DomainBatch) -> DomainBatch:
        labels = None if domain.labels is None else domain.labels.clone()
        return DomainBatch(domain.images.clone(), labels)

    return Batch(**{stream: copied(domain) for stream, domain in domains_of(batch).items()}, indices=())


def copied(prepared: Prepared) -> Prepared:
    """The same in memory of its own."""
    counts = {name: tensor.clone() for name, tensor in prepared.counts.items()}
    tensors = {name: tensor.clone() for name, tensor in prepared.tensors.items()}
    return replace(prepared, counts=counts, tensors=tensors)
