"""What DistributedDataParallel costs, and what a second rank brings.

    python benchmarks/ddp.py [--method joint] [--batch 4] [--size 192 96] [--steps 10] [--repeat 5]

Times the engine's step on made-up batches: with the updates called directly, as a trial of one rank runs,
and inside DDP, in turns, so that both meet the same machine, and then by two ranks that share the batch
(gloo, each with one thread; on GPUs NCCL; not where there is one GPU). Of several runs the fastest counts. A
profile of one more step of theirs tells how long buckets of gradients were added up over the ranks, and for
how much of that the backward pass went on beside it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from made_up_steps import config_of, made_up, run
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import profile
from train_step import RESULTS

from segda_core.distributed import connect, wrap
from segda_core.engine import Engine, Wrapped
from segda_core.methods.base import Batch

STARTING = 2
"""Steps before the first one that is timed."""
Interval = tuple[float, float]
"""Beginning and end, in microseconds of a profile."""


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
    told: dict[str, Any] = {}
    if torch.cuda.device_count() != 1:
        told = min((two_ranks() for _ in range(words.repeat)), key=lambda run: float(run["seconds"]))
        seconds["two ranks"] = told["seconds"]
    for way, least in seconds.items():
        print(f"{way:<12}{1e3 * least:>10.1f}{least / seconds['direct']:>11.3f}")
    if told:
        share = told["hidden"] / told["reducing"]
        print(
            f"\nbuckets of gradients: {told['buckets']}, {1e3 * told['reducing']:.1f} ms, "
            f"{share:.0%} of that beside the backward pass"
        )
    words.results.mkdir(exist_ok=True)
    record = {"method": words.method, "model": words.model, **seconds, "profile": told}
    (words.results / "ddp.json").write_text(json.dumps(record, indent=1) + "\n")


def one_rank(words: argparse.Namespace) -> dict[str, float]:
    """Seconds of a step, directly and inside DDP."""
    config = config_of(words.method, "fp32", words)
    with connect(1) as world:
        engines = {"direct": Engine(config, world), "ddp": Engine(config, world)}
        updates = [wrapped.update for wrapped in engines["ddp"].wrapped]
        engines["ddp"].wrapped = [Wrapped(update, wrap(update)) for update in updates]
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


def two_ranks() -> dict[str, Any]:
    """What the slower rank measured: seconds of a step, and what `reductions` tells."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *torchrun, __file__, *sys.argv[1:], "--rank"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ranks = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    return max(ranks, key=lambda rank: float(rank["seconds"]))


def be_a_rank(words: argparse.Namespace) -> None:
    """Print the seconds of a step, and what a profile tells of the reductions of one."""
    torch.set_num_threads(1)
    config = config_of(words.method, "fp32", words).model_copy(update={"ranks": 2})
    with connect(config.ranks) as world:
        engine = Engine(config, world)
        shared = config.model_copy(update={"batch_size": config.batch_size // config.ranks})
        batch = [made_up(shared, tuple(words.size))]
        run(engine, batch, 0, STARTING)
        told = {"seconds": run(engine, batch, STARTING, words.steps)}
        told |= reductions(engine, batch, STARTING + words.steps)
        sys.stdout.write(f"{json.dumps(told)}\n")  # in one piece: both ranks write


def reductions(engine: Engine, batch: list[Batch], step: int) -> dict[str, float]:
    """Buckets of gradients of one step; seconds they were added up for; of those, beside the backward pass.

    On GPUs "beside" is while other kernels ran, and the sums of counts before the backward pass are among the
    buckets.
    """
    with profile() as recorded:
        run(engine, batch, step, 1)
    events = recorded.events()
    assert events is not None
    if engine.world.device.type == "cuda":
        kernels = [event for event in events if event.device_type.name == "CUDA"]
        adding = [event for event in kernels if "AllReduce" in event.name]
        working = [event for event in kernels if "nccl" not in event.name]
    else:
        working = [event for event in events if event.name.startswith("autograd::engine::evaluate")]
        begins = min(event.time_range.start for event in working)  # before it counts are added up
        adding = [event for event in events if event.name == "gloo:all_reduce" and _when(event)[0] > begins]
    return {"buckets": len(adding), **hidden(map(_when, adding), map(_when, working))}


def hidden(adding: Iterable[Interval], working: Iterable[Interval]) -> dict[str, float]:
    """Seconds in which something was added up, and those of them in which there was other work too."""
    reducing, busy = union(adding), union(working)
    beside = sum(
        max(0.0, min(ends, work_ends) - max(begins, work_begins))
        for begins, ends in reducing
        for work_begins, work_ends in busy
    )
    return {"reducing": 1e-6 * sum(ends - begins for begins, ends in reducing), "hidden": 1e-6 * beside}


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same moments in intervals that do not touch, in order."""
    apart: list[Interval] = []
    for begins, ends in sorted(intervals):
        if apart and begins <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(ends, apart[-1][1]))
        else:
            apart.append((begins, ends))
    return apart


def _when(event: FunctionEvent) -> Interval:
    return event.time_range.start, event.time_range.end


if __name__ == "__main__":
    main()
