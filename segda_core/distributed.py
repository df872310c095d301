"""The ranks of one attempt: connecting them, and the few things they agree on or add up."""

import inspect
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segda_core.errors import ConfigError
from segda_core.process import Verdict
from segda_core.trials.layout import GPUS_VARIABLE

Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """This process among the ranks; `control` is a gloo group for CPU tensors, beside NCCL where CUDA is."""

    rank: int
    ranks: int
    device: torch.device
    control: dist.ProcessGroup | None = None
    """None in a world of one: then every method below is without cost."""

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files."""
        return self.rank == 0

    @property
    def gpus(self) -> int:
        """How many of them the ranks use."""
        return self.ranks if self.device.type == "cuda" else 0

    def agree(self, verdict: Verdict) -> Verdict:
        """The strongest verdict of any rank; collective, and a host-side meeting of all ranks."""
        if self.control is None:
            return verdict
        value = torch.tensor(int(verdict))
        dist.all_reduce(value, op=dist.ReduceOp.MAX, group=self.control)
        return Verdict(int(value))

    def all_sum(self, values: Tensor) -> Tensor:
        """Sum of a tensor on the training device over all ranks; collective."""
        if self.ranks > 1:
            dist.all_reduce(values)
        return values

    def control_sum(self, values: Tensor) -> Tensor:
        """Sum of a CPU tensor over all ranks; collective."""
        if self.control is not None:
            dist.all_reduce(values, group=self.control)
        return values

    def gather(self, value: Value) -> list[Value]:
        """What every rank holds, by rank, on all of them; collective."""
        if self.control is None:
            return [value]
        values = [value] * self.ranks
        dist.all_gather_object(values, value, group=self.control)
        return values

    def from_main(self, value: str | None) -> str | None:
        """Rank 0's value on every rank; collective."""
        if self.control is None:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def broadcast_buffers(self, networks: Iterable[nn.Module]) -> None:
        """Give every rank rank 0's buffers (batch-norm statistics); collective."""
        if self.ranks == 1:
            return
        for network in networks:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    def interleave(self, own: NDArray[np.int32], total: int) -> NDArray[np.int32] | None:
        """On rank 0, rows of all ranks in order, where row i came from rank i % ranks; collective.

        `own` holds this rank's rows in order; other ranks get None.
        """
        if self.control is None:
            return own
        rows = -(-total // self.ranks)
        padded = torch.zeros(rows, *own.shape[1:], dtype=torch.int32)
        padded[: len(own)] = torch.from_numpy(own)
        parts = [torch.empty_like(padded) for _ in range(self.ranks)] if self.is_main else None
        dist.gather(padded, parts, dst=0, group=self.control)
        if parts is None:
            return None
        gathered: NDArray[np.int32] = torch.stack(parts, dim=1).flatten(0, 1)[:total].numpy()
        return gathered


@contextmanager
def connect(ranks: int) -> Iterator[World]:
    """Join the other ranks that torchrun started, or be a world of one without it.

    `ranks` is the trial's; another number of processes is a `ConfigError`.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != ranks:
        raise ConfigError([f"ranks: the trial asks for {ranks}, but {started} process(es) were started"])
    device = _device()
    backend, device_id = ("nccl", device) if device.type == "cuda" else ("gloo", None)
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group(backend, device_id=device_id)
    else:
        store = dist.HashStore()  # type: ignore[attr-defined]  # torch's __init__ does not list it
        dist.init_process_group(backend, device_id=device_id, store=store, rank=0, world_size=1)
    failed = True
    try:
        yield World(dist.get_rank(), ranks, device, _control_group() if ranks > 1 else None)
        failed = False
    finally:
        if not (failed and backend == "nccl"):  # NCCL would wait for the other ranks, and they for this one
            dist.destroy_process_group()


def _control_group() -> dist.ProcessGroup:
    group = dist.new_group(backend="gloo")
    assert isinstance(group, dist.ProcessGroup)
    return group


def _device() -> torch.device:
    """`ConfigError` where an executor gave us GPUs and torch sees none: on CPUs the trial would crawl."""
    if not torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible and os.environ.get(GPUS_VARIABLE, "0") != "0":
            raise ConfigError([_blind(visible)])
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def _blind(visible: str) -> str:
    fault = f"the trial was given GPUs (CUDA_VISIBLE_DEVICES={visible}), but torch {torch.__version__}"
    if torch.version.cuda is None:
        fault, advice = f"{fault} is built for CPUs alone", "install a build with CUDA"
    else:
        fault = f"{fault}, built for CUDA {torch.version.cuda}, sees none"
        advice = "update the driver, or install a build for its CUDA; `nvidia-smi` names both"
    on_cpus = "to train on CPUs: CUDA_VISIBLE_DEVICES= segda …, on Slurm --set executor.gpus_per_node=0"
    return f"{fault}; {advice}; {on_cpus}"


def wrap(module: nn.Module) -> DistributedDataParallel:
    """DDP that reduces gradients in place and leaves buffers alone.

    After the first step DDP orders gradients by their arrival. Three ranks or more then add them in another
    order, and a resumed run, which has a first step of its own, would differ in the last bit from one that
    was never interrupted. On CPUs, where that is promised, `find_unused_parameters` keeps the first order.
    """
    on_cpus = all(parameter.device.type == "cpu" for parameter in module.parameters())
    keep_order = on_cpus and dist.get_world_size() > 2
    # A 1x1 convolution's gradient may come with channels-last strides: the same bytes in the same order.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    options = inspect.signature(DistributedDataParallel.__init__).parameters
    if "forward_sync_buffers" in options:
        return DistributedDataParallel(
            module,
            find_unused_parameters=keep_order,
            gradient_as_bucket_view=True,
            forward_sync_buffers=False,
        )
    return DistributedDataParallel(  # torch < 2.13
        module,
        find_unused_parameters=keep_order,
        gradient_as_bucket_view=True,
        broadcast_buffers=False,
    )
