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

CUDA = torch.device("cuda")


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
