import pytest
import torch
import torch.distributed as dist

from segda_core.distributed import connect
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
