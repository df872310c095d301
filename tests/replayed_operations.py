"""A recording on CPUs with the rules of a CUDA graph: the same operations again, on the memory they had.

Python runs once. Whatever it read then (numbers, which tensor) is repeated; random numbers are new ones.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class ReplayedOperations(TorchDispatchMode):
    """Stands in for `segda_core.training.capture.CudaGraph`."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded = self.replayed = 0
        self.calls: list[tuple[Any, tuple, dict, list[Tensor]]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        """By storage that no recorded operation made: all of it as it is, and as it was."""
        self.made: set[int] = set()

    def warm_up(self, run):
        return run()

    def forget(self):
        self.calls, self.before, self.made = [], {}, set()

    def record(self, run):
        """What was written is put back: a CUDA graph computes nothing while it is recorded."""
        self.recorded += 1
        random = torch.get_rng_state()
        with self:
            results = run()
        torch.set_rng_state(random)
        with torch.no_grad():
            for tensor, earlier in self.before.values():
                tensor.copy_(earlier)
        return results

    @torch.no_grad()
    def replay(self):
        self.replayed += 1
        for function, words, options, made in self.calls:
            again = tensors(function(*words, **options))
            for mine, new in zip(made, again, strict=True):
                if mine is not None:
                    mine.copy_(new)

    def __torch_dispatch__(self, function, types, words=(), options=None):
        options = options or {}
        if function.namespace == "profiler":
            return function(*words, **options)
        for tensor in tensors((words, options)):
            self._keep(tensor)  # whatever the schema says: batch norm writes its statistics on CPUs unsaid
        result = function(*words, **options)
        returned = [each.alias_info is None for each in function._schema.returns]
        fresh = []
        for tensor, new in zip(tensors(result), spread(returned, result), strict=True):
            fresh.append(tensor if new else None)
            if new:
                self.made.add(tensor.untyped_storage().data_ptr())
        self.calls.append((function, words, options, fresh))
        return result

    def _keep(self, tensor):
        place = tensor.untyped_storage().data_ptr()
        if place not in self.made and place not in self.before:
            whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
            self.before[place] = whole, whole.clone()


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def spread(returned: list[bool], result: Any) -> list[bool]:
    """For each tensor of the result, whether it lies in memory of its own."""
    parts = (result,) if len(returned) == 1 else result or ()
    return [new for new, part in zip(returned, parts, strict=True) for _ in tensors(part)]
