"""`python -m segda_core.torchrun` beside what it stands for; that it trains is seen wherever a trial runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes


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
