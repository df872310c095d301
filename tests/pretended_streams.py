"""CUDA streams that are not there: operations run at once, and it is checked that they would have waited.

What reads a tensor that another stream writes, or writes one that another stream uses, must wait for it, else
a GPU may run them in either order. Backward passes run on the stream that started them, where a GPU runs each
operation on that of the forward one.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Stream:
    """Knows how far into every stream its next operation has waited."""

    def __init__(self, device: object = None) -> None:
        self.waited: dict[Stream, int] = {self: 0}

    def issue(self) -> "Moment":
        self.waited[self] += 1
        return Moment(self, self.waited[self])

    def is_behind(self, moment: "Moment") -> bool:
        return self.waited.get(moment.stream, 0) >= moment.number

    def record_event(self) -> dict:
        return dict(self.waited)

    def wait_event(self, event: dict) -> None:
        for stream, number in event.items():
            self.waited[stream] = max(number, self.waited.get(stream, 0))

    def wait_stream(self, other: "Stream") -> None:
        self.wait_event(other.waited)


@dataclass(frozen=True)
class Moment:
    """One operation of a stream."""

    stream: Stream
    number: int


class PretendedStreams(TorchDispatchMode):
    """Fails where an operation did not wait for one that it needs."""

    def __init__(self) -> None:
        super().__init__()
        self.current = self.main = Stream()
        self.recorded: list[tuple[Tensor, Stream]] = []
        self.issued: list[Moment] = []
        self._storages: list[object] = []  # kept, so that no other gets its address
        self._written: dict[int, Moment] = {}
        self._read: dict[int, list[Moment]] = defaultdict(list)

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        """As `torch.cuda.stream`."""
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def __torch_dispatch__(self, function, types, words=(), options=None):
        options = options or {}
        result = function(*words, **options)
        if reads_and_writes_nothing(function):
            return result
        self.issued.append(moment := self.current.issue())
        written = [*written_by(function, words), *tree_leaves(result)]
        for storage in self._known(written):
            self._check(function, self._read.pop(storage, []))
            self._check(function, [self._written[storage]] if storage in self._written else [])
            self._written[storage] = moment
        for storage in self._known(tree_leaves((words, options))):
            self._check(function, [self._written[storage]] if storage in self._written else [])
            self._read[storage].append(moment)
        return result

    def _check(self, function: object, needed: list[Moment]) -> None:
        for moment in needed:
            assert self.current.is_behind(moment), f"{function} does not wait for another stream"

    def _known(self, values: list) -> list[int]:
        storages = [value.untyped_storage() for value in values if isinstance(value, Tensor)]
        self._storages += storages
        return [storage._cdata for storage in storages]


def reads_and_writes_nothing(function) -> bool:
    name = function.name()
    return (
        function.is_view or function.namespace == "prim" or "empty" in name or name.startswith("aten::set_")
    )


def written_by(function, words) -> list:
    """What it writes, whatever the schema says: batch norm writes its statistics on CPUs unsaid."""
    arguments = function._schema.arguments
    said = [word for word, each in zip(words, arguments, strict=False) if each.is_write]
    if "batch_norm" in function.name() and "backward" not in function.name():
        said += [word for word, each in zip(words, arguments, strict=False) if "running" in each.name]
    return tree_leaves(said)


@contextmanager
def pretended_streams() -> Iterator[PretendedStreams]:
    """`torch.cuda`'s streams are such ones."""
    made = PretendedStreams()
    with pytest.MonkeyPatch.context() as patch, made:
        patch.setattr("torch.cuda.Stream", Stream)
        patch.setattr("torch.cuda.stream", made.on)
        patch.setattr("torch.cuda.current_stream", lambda device=None: made.current)
        patch.setattr(Tensor, "record_stream", lambda tensor, on: made.recorded.append((tensor, on)))
        yield made
