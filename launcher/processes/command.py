"""The command lines of a trial's processes: what `--dry-run` shows is what runs."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segda_core.config import TaskConfig

SIGNAL = "SIGINT"
"""What a runner sends torchrun, and torchrun its workers. It handles no other signal: schedulers send theirs
to every process at once, and torchrun does not survive a second signal while it winds down."""

JOIN_S = 300
"""Seconds in which all nodes must have met."""


@dataclass(frozen=True)
class Node:
    """One machine of an attempt that runs on several."""

    rank: int = 0
    """Number of the machine; the first, 0, holds rank 0 of the trial."""
    rendezvous: str | None = None
    """HOST:PORT on the first machine where torchrun's agents meet; None on a single one."""


FIRST_NODE = Node()


def worker_command(
    trial_dir: Path, attempt: int, config: TaskConfig, nodes: int = 1, node: Node = FIRST_NODE
) -> list[str]:
    """torchrun with one worker per rank of this node: trains one attempt of a trial."""
    return [
        *(sys.executable, "-m", "segda_core.torchrun", *_meeting(nodes, node)),
        *("--nproc-per-node", str(config.ranks // nodes), "--max-restarts", "0"),
        *("--signals-to-handle", SIGNAL),
        *("-m", "segda_core.train", str(trial_dir), "--attempt", str(attempt)),
    ]


def _meeting(nodes: int, node: Node) -> list[str]:
    """How torchrun's agents meet; ranks are fixed: the first node's runner judges what rank 0 writes."""
    if node.rendezvous is None:
        return ["--standalone"]
    return [
        *("--nnodes", str(nodes), "--node-rank", str(node.rank), "--rdzv-backend", "static"),
        *("--rdzv-endpoint", node.rendezvous, "--rdzv-conf", f"timeout={JOIN_S}"),
    ]


def runner_command(
    trial_dir: Path, attempt: int, resources: Mapping[str, Any], node: Node = FIRST_NODE
) -> list[str]:
    """The process that starts torchrun, watches it and says how the attempt ended."""
    options = ["--attempt", str(attempt), "--resources", json.dumps(resources, sort_keys=True)]
    if node.rendezvous is not None:
        options += ["--node-rank", str(node.rank), "--rendezvous", node.rendezvous]
    return [sys.executable, "-m", "launcher.attempt", str(trial_dir), *options]
