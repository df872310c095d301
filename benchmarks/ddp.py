"""What DistributedDataParallel costs, and what a second rank brings.

    python benchmarks/ddp.py [--method joint] [--batch 4] [--size 192 96] [--steps 10] [--repeat 5]

Times the engine's step on made-up batches: with the updates called directly and inside DDP as every trial
runs, in turns, so that both meet the same machine, and then by two ranks that share the batch (gloo, each
with one thread; on GPUs NCCL; not where there is one GPU). Of several runs the fastest counts.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from made_up_steps import config_of, made_up, run
from train_step import RESULTS

from segda_core.distributed import connect
from segda_core.engine import Engine

STARTING = 2
"""Steps before the first one that is timed."""


def main() -> None:
    """Print the table and write it as JSON; with `--rank` be one of two ranks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", default="joint")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--batch", type=int, default=4, help="images of each domain, over all ranks")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 96), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    words.published = False
    if words.rank:
        be_a_rank(words)
        return
    print(f"{'':<12}{'ms/step':>10}{'of direct':>11}")
    torch.set_num_threads(1)
    seconds = one_rank(words)
    if torch.cuda.device_count() != 1:
        seconds["two ranks"] = min(two_ranks() for _ in range(words.repeat))
    for way, least in seconds.items():
        print(f"{way:<12}{1e3 * least:>10.1f}{least / seconds['direct']:>11.3f}")
    words.results.mkdir(exist_ok=True)
    (words.results / "ddp.json").write_text(json.dumps({"method": words.method, **seconds}, indent=1) + "\n")


def one_rank(words: argparse.Namespace) -> dict[str, float]:
    """Seconds of a step, directly and inside DDP."""
    config = config_of(words.method, "fp32", words)
    with connect(1) as world:
        with patch("segda_core.engine.wrap", _unwrapped):
            engines = {"direct": Engine(config, world)}
        engines["ddp"] = Engine(config, world)
        batch = [made_up(config, tuple(words.size))]
        for engine in engines.values():
            run(engine, batch, 0, STARTING)
        seconds = dict.fromkeys(engines, float("inf"))
        order = list(engines)
        for turn in range(words.repeat):
            for way in order:
                first = STARTING + turn * words.steps
                seconds[way] = min(seconds[way], run(engines[way], batch, first, words.steps))
            order.reverse()
    return seconds


def two_ranks() -> float:
    """Seconds of a step, as the slower one measures it."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *torchrun, __file__, *sys.argv[1:], "--rank"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return max(float(line) for line in told.split())


def be_a_rank(words: argparse.Namespace) -> None:
    """Print the seconds of a step."""
    torch.set_num_threads(1)
    config = config_of(words.method, "fp32", words).model_copy(update={"ranks": 2})
    with connect(config.ranks) as world:
        engine = Engine(config, world)
        shared = config.model_copy(update={"batch_size": config.batch_size // config.ranks})
        batch = [made_up(shared, tuple(words.size))]
        run(engine, batch, 0, STARTING)
        sys.stdout.write(f"{run(engine, batch, STARTING, words.steps)}\n")  # in one piece: both ranks write


def _unwrapped(update: Any) -> Any:
    return update


if __name__ == "__main__":
    main()
