import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.processes.process import (
    ATTEMPT_VARIABLE,
    end_processes,
    identity,
    on_this_machine,
    pid_start,
    processes_of,
    still_runs,
)

pytestmark = pytest.mark.processes

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); time.sleep(60)"


def start(attempt: Path, code: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, ATTEMPT_VARIABLE: str(attempt)}
    return subprocess.Popen([sys.executable, "-S", "-c", code], env=environment, stdout=subprocess.PIPE)


def test_identity_tells_this_process_from_a_later_one_of_the_same_pid() -> None:
    me = identity()
    assert on_this_machine(me) and still_runs(me)
    assert not still_runs({**me, "pid_start": me["pid_start"] - 1})
    assert not on_this_machine({**me, "boot_id": "another boot"})
    assert not on_this_machine({**me, "host": "another host"})


def test_a_zombie_does_not_run() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    while pid_start(child.pid) is not None:
        time.sleep(0.01)
    assert Path(f"/proc/{child.pid}").exists()
    child.wait()
    assert pid_start(child.pid) is None


def test_ends_every_process_of_an_attempt_and_no_other(tmp_path: Path) -> None:
    first, second = tmp_path / "attempts/1", tmp_path / "attempts/12"
    obedient, stubborn, other = (
        start(first, "import time; time.sleep(60)"),
        start(first, STUBBORN),
        start(second, STUBBORN),
    )
    for process in (stubborn, other):
        assert process.stdout is not None
        process.stdout.readline()
    assert sorted(processes_of(first)) == sorted([obedient.pid, stubborn.pid])
    end_processes(first, grace=0.3)
    assert processes_of(first) == []
    assert (obedient.wait(), stubborn.wait()) == (-signal.SIGTERM, -signal.SIGKILL)
    assert processes_of(second) == [other.pid]
    end_processes(second, grace=0)
    for process in (obedient, stubborn, other):
        process.communicate()


def test_what_no_kill_ends_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a worker in a file system that does not answer: here no signal is sent at all."""
    monkeypatch.setattr("launcher.processes.process.KILL_PATIENCE_S", 0.2)
    monkeypatch.setattr("launcher.processes.process.send", lambda pids, signum: None)
    attempt = tmp_path / "attempts/1"
    process = start(attempt, "import time; time.sleep(60)")
    began = time.monotonic()
    assert end_processes(attempt, grace=0.1) == [process.pid]
    assert time.monotonic() - began < 5
    process.kill()
    process.communicate()


JOIN_AND_RUN_OUT = """
import subprocess, sys
from launcher.processes.process import out_of_memory_kills
open(sys.argv[1] + "/cgroup.procs", "w").write("0")
before = out_of_memory_kills()
code = subprocess.run([sys.executable, "-S", "-c", "b'x' * (256 << 20)"]).returncode
print(before, code, out_of_memory_kills())
"""


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group with 64 MB of memory."""
    versions = (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        ("/sys/fs/cgroup", "memory.max", "memory.swap.max"),
    )
    for root, limit, with_swap in versions:
        group = Path(root, f"segda-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / limit).exists():
                (group / limit).write_text(str(64 << 20))
                if (group / with_swap).exists():
                    (group / with_swap).write_text(str(64 << 20) if "memsw" in with_swap else "0")
                yield group
                return
        finally:
            group.rmdir()
    pytest.skip("NO CONTROL GROUP WITH A MEMORY LIMIT CAN BE MADE HERE: it takes root, and cgroups mounted")


def test_what_the_out_of_memory_killer_ends_in_our_group_is_counted(small_group: Path) -> None:
    command = [sys.executable, "-c", JOIN_AND_RUN_OUT, str(small_group)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["0", str(-signal.SIGKILL), "1"]
