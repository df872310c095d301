"""The command lines of a trial's processes: what `--dry-run` shows is what runs."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segda_core.config import TaskConfig

SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR2"
"""What torchrun passes on to its workers: its defaults, and the one that asks for a checkpoint."""


def worker_command(trial_dir: Path, attempt: int, config: TaskConfig) -> list[str]:
    """torchrun with one worker per rank: trains one attempt of a trial."""
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(config.ranks), "--max-restarts", "0", "--signals-to-handle", SIGNALS),
        *("-m", "segda_core.train", str(trial_dir), "--attempt", str(attempt)),
    ]


def runner_command(trial_dir: Path, attempt: int, resources: Mapping[str, Any]) -> list[str]:
    """The process that starts torchrun, watches it and says how the attempt ended."""
    options = ["--attempt", str(attempt), "--resources", json.dumps(resources, sort_keys=True)]
    return [sys.executable, "-m", "launcher.attempt", str(trial_dir), *options]
