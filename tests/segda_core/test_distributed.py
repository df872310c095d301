from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ranks import endings, start_ranks
from torch import Tensor, nn

from segda_core.distributed import connect, wrap
from segda_core.errors import ConfigError


@pytest.fixture
def gpu_with_gloo(monkeypatch):
    """A host that says it has a GPU, and gloo where NCCL is asked for."""
    init = dist.init_process_group

    def on_gloo(backend, *, device_id, **settings):
        assert (backend, device_id) == ("nccl", torch.device("cuda", 0))
        init("gloo", **settings)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(dist, "init_process_group", on_gloo)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def test_a_finished_attempt_leaves_its_group(gpu_with_gloo):
    with connect(1):
        assert dist.is_initialized()
    assert not dist.is_initialized()


def test_a_failed_rank_does_not_wait_in_nccls_shutdown_for_ranks_that_wait_for_it(gpu_with_gloo):
    with pytest.raises(RuntimeError, match="out of memory"), connect(1):
        raise RuntimeError("out of memory")
    assert dist.is_initialized()


def test_a_failed_rank_on_cpus_leaves_its_group(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="a bug"), connect(1):
        raise RuntimeError("a bug")
    assert not dist.is_initialized()


def test_another_number_of_processes_than_ranks_is_an_error():
    with pytest.raises(ConfigError, match="the trial asks for 2, but 1 process"), connect(2):
        pass


@pytest.mark.parametrize(("cuda", "said"), [(None, "built for CPUs alone"), ("12.8", "built for CUDA 12.8")])
def test_gpus_that_torch_does_not_see_are_an_error(monkeypatch, cuda, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa")
    monkeypatch.setenv("SEGDA_GPUS", "1")
    with pytest.raises(ConfigError, match=f"GPU-aaaa.*{said}.* to train on CPUs: CUDA_VISIBLE"), connect(1):
        pass


@pytest.mark.parametrize(("given", "visible"), [("0", "0"), ("1", "")])
def test_cpus_are_trained_on_where_no_executor_gave_gpus(monkeypatch, given, visible):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("SEGDA_GPUS", given)
    with connect(1) as world:
        assert world.device == torch.device("cpu")


RANKS = 4
"""Of two ranks a sum is the same in either order."""


def trained(network: nn.Module, steps: range, rank: int) -> nn.Module:
    """The network after some steps through a DDP module of its own."""
    module = wrap(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in steps:
        images = torch.randn(8, 64, generator=torch.Generator().manual_seed(100 * step + rank))
        optimizer.zero_grad()
        module(images).square().mean().backward()
        optimizer.step()
    return network


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.Tanh())])


def through_and_resumed(folder: Path) -> None:
    """Rank 0 writes the weights after eight steps, and after three and then five."""
    torch.set_num_threads(1)
    with connect(RANKS) as world:
        rank = world.rank
        through = trained(fresh(), range(8), rank)
        resumed = trained(trained(fresh(), range(3), rank), range(3, 8), rank)
    if rank == 0:
        torch.save([flat(through), flat(resumed)], folder / "weights.pt")


def flat(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.processes
def test_four_ranks_resumed_equal_uninterrupted_bit_for_bit(tmp_path):
    assert endings(start_ranks(RANKS, through_and_resumed, tmp_path)) == [0] * RANKS
    through, resumed = torch.load(tmp_path / "weights.pt")
    assert torch.equal(through, resumed)
