"""Ranks that meet on this host, forked where torch is loaded: each would take seconds to load it itself."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from segda_core.train import main
from segda_core.trials.layout import TrialFiles

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["torch"])

PATIENCE_S = 300.0


def start_ranks(count: int, work: Callable[..., object], *arguments: Any) -> list[ForkServerProcess]:
    """So many processes that do some work here, with the variables by which torchrun's workers meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        FORKED.Process(
            target=_be,
            args=({**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, Path.cwd(), work, arguments),
        )
        for rank in range(count)
    ]
    for rank in ranks:
        rank.start()
    return ranks


def start_training(trial: TrialFiles, ranks: int) -> list[ForkServerProcess]:
    """The workers of a trial's first attempt; `test_train.py` starts such as the runner does, too."""
    return start_ranks(ranks, _train, trial)


def endings(ranks: Sequence[ForkServerProcess]) -> list[int | None]:
    """Exit codes; None for one that did not end, and was killed."""
    for rank in ranks:
        rank.join(PATIENCE_S)
    codes = [rank.exitcode for rank in ranks]
    for rank in ranks:
        rank.kill()
        rank.join()
        rank.close()
    return codes


def _be(
    environment: dict[str, str], folder: Path, work: Callable[..., object], arguments: Sequence[Any]
) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    work(*arguments)


def _train(trial: TrialFiles) -> None:
    attempt = trial.attempt(1)
    with attempt.log.open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    sys.argv = ["segda_core.train", str(trial.root), "--attempt", str(attempt.number)]
    main()
