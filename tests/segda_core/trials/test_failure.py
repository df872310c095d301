import errno

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from segda_core.errors import ConfigError, DataError
from segda_core.files import read_json
from segda_core.trials.causes import EXPERIMENT_CAUSES, MACHINE_CAUSES
from segda_core.trials.failure import cause_of, message_of, record_failure
from segda_core.trials.layout import AttemptFiles

CASES = [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "oom"),
    (MemoryError(), "oom"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), "oom"),
    (torch.distributed.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp"), "nccl"),
    (torch.distributed.DistNetworkError("The client socket has timed out"), "nccl"),
    (RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"), "nccl"),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "killed"),
    (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "killed"),
    (RuntimeError("Pin memory thread exited unexpectedly"), "killed"),
    (OSError(errno.ENOSPC, "No space left on device"), "disk"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk"),
    (FileNotFoundError(errno.ENOENT, "No such file"), "code"),
    (DataError("images/1.png: cannot be read"), "data"),
    (ConfigError(["steps: found 0"]), "config"),
    (FloatingPointError("step 3: loss is NaN"), "nan"),
    (KeyError("labels"), "code"),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "code"),
]


@pytest.mark.parametrize(("error", "cause"), CASES, ids=[str(error)[:30] for error, _ in CASES])
def test_causes(error, cause):
    assert cause_of(error) == cause
    assert cause in (*MACHINE_CAUSES, *EXPERIMENT_CAUSES)


def test_a_disk_error_deep_in_a_chain_of_calls_is_recorded_with_its_traceback(tmp_path):
    attempt = AttemptFiles(tmp_path / "attempts" / "1")
    try:
        raise ConfigError(["config.yaml: steps: found 0", "config.yaml: seed: found 'a'"])
    except ConfigError as error:
        record_failure(attempt, 3, error)

    written = read_json(attempt.error(3))
    assert written["cause"] == "config"
    assert written["message"] == "config.yaml: steps: found 0\nconfig.yaml: seed: found 'a'"
    assert "test_failure.py" in written["traceback"]


def test_an_unexpected_error_is_named_with_its_type():
    assert message_of(KeyError("labels")) == "KeyError: 'labels'"
    assert message_of(AssertionError()) == "AssertionError"
    assert message_of(MemoryError()) == "MemoryError"


class Broken(Dataset[int]):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise DataError("images/1.png: cannot be read")


@pytest.mark.processes
def test_an_error_of_a_loader_process_speaks_for_itself():
    with pytest.raises(DataError) as caught:
        list(DataLoader(Broken(), num_workers=1))
    assert cause_of(caught.value) == "data"
    assert message_of(caught.value) == "images/1.png: cannot be read"
