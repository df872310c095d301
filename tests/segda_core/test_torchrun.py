"""`python -m segda_core.torchrun` beside what it stands for; that it trains is seen wherever a trial runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_sweep import wait_until

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
SWALLOWING = """
import pathlib, time
try:
    pathlib.Path("begun").touch()
    time.sleep(60)
except KeyboardInterrupt:
    pass
"""


def test_it_ends_as_torchrun_does_where_a_worker_fails_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text("raise SystemExit(7)\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    ends = []
    for module in ("torch.distributed.run", "segda_core.torchrun"):
        command = [sys.executable, "-m", module, "--standalone", tmp_path / "worker.py"]
        environment = {**os.environ, "TMPDIR": str(temporary)}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        ends.append((ended.returncode, "exitcode  : 7" in ended.stderr, len(list(temporary.iterdir()))))
    assert ends == [(1, True, 1), (1, True, 1)], "torchrun's folder stays, and there is none of ours"


def test_a_stop_while_torch_loads_is_not_lost(tmp_path: Path) -> None:
    """Torch's import swallows a KeyboardInterrupt for some hundredths of a second; this one all the time."""
    (tmp_path / "torch" / "distributed").mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").write_text(SWALLOWING)
    (tmp_path / "torch" / "distributed" / "__init__.py").touch()
    (tmp_path / "torch" / "distributed" / "run.py").write_text("import time\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "segda_core.torchrun"]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    loading = subprocess.Popen(command, cwd=tmp_path, env=environment)
    try:
        wait_until((tmp_path / "begun").exists, timeout=60)
        loading.send_signal(signal.SIGINT)
        assert loading.wait(30) == -signal.SIGINT
    finally:
        loading.kill()
        loading.wait()
