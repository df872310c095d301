"""A GPU that computes nothing: what is done on it is checked for devices, types and shapes alone.

Tensors have no values, so whatever would wait for one (`item`, `nonzero`, a boolean index) raises.
torch can neither run a backward pass on it nor seed it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda")


class NothingFromTheHost(TorchDispatchMode):
    """Refuses operations with a tensor of the host: no CUDA graph repeats what Python put there."""

    def __torch_dispatch__(self, function, types, words=(), options=None):
        result = function(*words, **(options or {}))
        for leaf in tree_leaves((words, options, result)):
            if isinstance(leaf, Tensor):
                assert leaf.device.type == "cuda", f"{function} uses a tensor of the host"
        return result


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Whatever is made meanwhile has no values; `torch.device("cuda")` is there."""
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode():
        patch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
        patch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: True)
        patch.setattr("torch.random.fork_rng", lambda devices: nullcontext())
        patch.setattr(FakeTensorMode, "__deepcopy__", lambda self, memo: self, raising=False)
        patch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
        yield
