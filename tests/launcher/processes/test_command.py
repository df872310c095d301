import json
import sys
from pathlib import Path

from launcher.processes.command import runner_command, worker_command
from sweeps import expanded


def test_the_worker_command_is_torchrun_with_one_process_per_rank(tmp_path: Path) -> None:
    config = expanded(tmp_path, "ranks=2", "batch_size=4").trials[0].config
    command = worker_command(Path("runs/my sweep/x"), 3, config)
    assert command[:4] == [sys.executable, "-m", "segda_core.torchrun", "--standalone"]
    assert command[command.index("--nproc-per-node") + 1] == "2"
    assert command[command.index("--max-restarts") + 1] == "0"
    assert command[command.index("--signals-to-handle") + 1] == "SIGINT", (
        "TERM and USR2 reach it from schedulers"
    )
    assert command[-5:] == ["-m", "segda_core.train", "runs/my sweep/x", "--attempt", "3"]


def test_the_runner_command_carries_its_resources() -> None:
    command = runner_command(Path("runs/s/x"), 1, {"gpus": ["0"]})
    assert command[:4] == [sys.executable, "-m", "launcher.attempt", "runs/s/x"]
    assert json.loads(command[command.index("--resources") + 1]) == {"gpus": ["0"]}
