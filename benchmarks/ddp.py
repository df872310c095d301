"""What DistributedDataParallel costs, and what a second rank brings.

    python benchmarks/ddp.py [--method joint] [--batch 4] [--steps 10] [--repeat 5]

Times the engine's step on made-up batches in three ways that take turns, so that they meet the same machine:
with the updates called directly, inside DDP as every trial runs, and by two gloo ranks that share the batch,
each with one thread. Of several runs the fastest counts.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from made_up_steps import config_of, made_up, run
from train_step import RESULTS

from segda_core.distributed import connect
from segda_core.engine import Engine

SIZE = (192, 96)
WAYS = {"direct": 1, "ddp": 1, "two ranks": 2}
"""Way -> ranks."""


def main() -> None:
    """Print the table and write it as JSON; with `--way` be one rank of one run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", default="joint")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--batch", type=int, default=4, help="images of each domain, over all ranks")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.way is not None:
        be_a_rank(words)
        return
    print(f"{'':<12}{'ms/step':>10}{'of direct':>11}")
    seconds = {way: float("inf") for way in WAYS}
    for _ in range(words.repeat):
        for way in WAYS:
            seconds[way] = min(seconds[way], start(way))
    for way, least in seconds.items():
        print(f"{way:<12}{1e3 * least:>10.1f}{least / seconds['direct']:>11.3f}")
    words.results.mkdir(exist_ok=True)
    (words.results / "ddp.json").write_text(json.dumps({"method": words.method, **seconds}, indent=1) + "\n")


def start(way: str) -> float:
    """Seconds of a step, as the ranks of one run measure it."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={WAYS[way]}"]
    command = [sys.executable, *torchrun, __file__, *sys.argv[1:], "--way", way]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return max(float(line) for line in told.split())


def be_a_rank(words: argparse.Namespace) -> None:
    """Print the seconds of a step."""
    import torch

    torch.set_num_threads(1)
    words.size, words.published = SIZE, False
    config = config_of(words.method, "fp32", words).model_copy(update={"ranks": WAYS[words.way]})
    with connect(config.ranks) as world:
        if words.way == "direct":
            with patch("segda_core.engine.wrap", _unwrapped):
                engine = Engine(config, world)
        else:
            engine = Engine(config, world)
        shared = config.model_copy(update={"batch_size": config.batch_size // config.ranks})
        batch = [made_up(shared, SIZE)]
        run(engine, batch, 0, 2)
        print(run(engine, batch, 2, words.steps), flush=True)


def _unwrapped(update: Any) -> Any:
    return update


if __name__ == "__main__":
    main()
