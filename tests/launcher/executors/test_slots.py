import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.executors import slots
from launcher.executors.slots import lock_places, visible_cores, visible_gpus
from segda_core.errors import ConfigError

GPUS = "0, GPU-aaaa\n1, GPU-bbbb\n2, GPU-cccc"


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", str(tmp_path / "locks"))


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a stand-in for the driver's tool in its place; CUDA_VISIBLE_DEVICES is unset."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def write(script: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)

    return write


@pytest.fixture
def nvidia_smi(driver: Callable[[str], None]) -> None:
    """One that lists three GPUs."""
    driver(f"echo '{GPUS}'")


def test_a_place_is_locked_once_until_it_is_released() -> None:
    first = lock_places(["a", "b", "c"], 2)
    assert first is not None and first.names == ("a", "b")
    assert lock_places(["a", "b", "c"], 2) is None
    second = lock_places(["a", "b", "c"], 1)
    assert second is not None and second.names == ("c",)
    first.release()
    third = lock_places(["a", "b", "c"], 2)
    assert third is not None and third.names == ("a", "b")
    second.release()
    third.release()


def test_too_few_free_places_leave_none_locked() -> None:
    held = lock_places(["a"], 1)
    assert held is not None
    assert lock_places(["a", "b"], 2) is None
    free = lock_places(["b"], 1)
    assert free is not None
    held.release()
    free.release()


@pytest.mark.processes
def test_a_child_that_inherits_the_files_keeps_the_place() -> None:
    held = lock_places(["a"], 1)
    assert held is not None
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=held.handles
    )
    held.release()
    assert lock_places(["a"], 1) is None
    child.communicate(b"\n")
    again = lock_places(["a"], 1)
    assert again is not None
    again.release()


@pytest.mark.processes
@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user for a moment")
def test_users_of_one_host_share_its_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGDA_RUNTIME_DIR")
    with tempfile.TemporaryDirectory() as text:
        Path(text).chmod(0o1777)
        monkeypatch.setattr(slots, "SLOTS", Path(text, "slots"))
        assert as_another_user(lambda: lock_places(["theirs"], 1) is not None)
        held = lock_places(["theirs", "ours"], 2)
        assert held is not None
        assert as_another_user(lambda: lock_places(["theirs", "ours"], 1) is None)
        assert as_another_user(lambda: lock_places(["ours", "free"], 1) is not None)
        held.release()
        assert as_another_user(lambda: lock_places(["theirs", "ours"], 2) is not None)


def as_another_user(tells: Callable[[], bool]) -> bool:
    """What it tells in a process of nobody, which ends at once."""
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os._exit(0 if tells() else 1)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.usefixtures("nvidia_smi")
@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-aaaa", "GPU-bbbb", "GPU-cccc"]),
        ("2,0", ["GPU-cccc", "GPU-aaaa"]),
        ("GPU-bb", ["GPU-bbbb"]),
        ("MIG-1234", ["MIG-1234"]),
        ("", []),
        ("-1", []),
    ],
)
def test_gpus_that_are_visible(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == expected


@pytest.mark.usefixtures("nvidia_smi")
@pytest.mark.parametrize(("visible", "named"), [("5", "5"), ("0,7,1", "7"), ("GPU-dd", "GPU-dd")])
def test_a_gpu_that_the_driver_does_not_list_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, visible: str, named: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ConfigError, match=rf"no GPU '{named}'; nvidia-smi lists 0 \(GPU-aaaa\), 1 "):
        visible_gpus()


def test_a_driver_that_fails_is_quoted_unless_cpus_are_meant(
    driver: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    said = r"18: Failed to initialize NVML: Driver/.* to train on CPUs: CUDA_VISIBLE_DEVICES= segda"
    with pytest.raises(ConfigError, match=said):
        visible_gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(ConfigError, match=said):
        visible_gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_a_driver_without_devices_no_gpus(driver: Callable[[str], None]) -> None:
    driver("echo 'No devices were found'")
    assert visible_gpus() == []


def test_a_driver_that_hangs_is_said(driver: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    driver("exec sleep 60")
    monkeypatch.setattr("launcher.executors.slots.SMI_PATIENCE_S", 0.2)
    with pytest.raises(ConfigError, match=r"nvidia-smi has not answered for 0\.2 s"):
        visible_gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


def test_no_driver_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []


@pytest.mark.processes
def test_cores_are_those_of_the_affinity_mask() -> None:
    command = "from launcher.executors.slots import visible_cores; print(visible_cores())"
    core = visible_cores()[-1].removeprefix("cpu-")
    pinned = subprocess.run(
        ["taskset", "-c", core, sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert pinned.stdout == f"['cpu-{core}']\n"
