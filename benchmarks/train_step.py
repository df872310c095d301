"""How long one optimizer step of every method takes, beside what its arithmetic alone would take.

    python benchmarks/train_step.py [--methods mrnet ...] [--model tiny] [--batch 4] [--ways fp32 bf16 ...]

Runs the real engine on made-up batches that are there already: no reading, no evaluation. `start` is the
time from the engine's first step to the end of its fifth, compiling and recording included: without `--cache`
with nothing in the cache for a way's first method, with what earlier methods left there for the others, and
`again` once more for the first; our own kernels are compiled once in a process, by the first way that has
them. `floor` is the step's floating-point operations (convolutions and matrix
products, as torch counts them) over the rate of a large matrix product, measured before (in fp32, whose
convolutions a GPU may round to TF32); `faster` is the first way's time over it. Of several runs the fastest
counts, since what else the machine does only ever adds. Without a GPU a step runs in fp32, compiled too if
asked; with one in several ways, and the memory reserved at most is told. `--compare 50` trains that many
steps in each way from the same weights and tells how far losses are from the first way's; for the first way
itself that is how far two runs of it are.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from made_up_steps import WAYS, Made, config_of, made_up, possible, precision, run, untrained, wait
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from segda_core.config import RECORDED_AFTER, TrialConfig
from segda_core.distributed import World, connect
from segda_core.engine import Engine
from segda_core.errors import ConfigError
from segda_core.methods import METHODS

RESULTS = Path(__file__).parent / "results"
STARTING = RECORDED_AFTER + 2
"""Steps after which every way has reached its speed."""


@dataclass(frozen=True)
class Row:
    """One method in one way; seconds, floating-point operations, bytes."""

    method: str
    way: str
    start_seconds: float
    again_seconds: float | None
    seconds: float
    images: int
    operations: float
    floor_seconds: float
    faster: float
    """The first way's seconds over these."""
    peak_bytes: int | None
    far: float | None
    """Mean distance of the losses from the first way's, as a share of them."""


def main() -> None:
    """Print the table and write it as JSON."""
    words = arguments()
    torch.set_num_threads(words.threads)
    with tempfile.TemporaryDirectory(prefix="segda-step-") as folder, connect(1) as world:
        words.steps = words.steps or (25 if world.device.type == "cuda" else 5)
        words.ways = words.ways or ways_of(world)
        if world.device.type != "cuda" and any(WAYS[way].get("capture") for way in words.ways):
            sys.exit("there is no GPU to capture a step on")
        rates = {kind: matrix_rate(world.device, kind) for kind in dict.fromkeys(map(precision, words.ways))}
        print(f"{device_name(world)}; matrix products: " + told(rates))
        print(HEADINGS)
        rows: list[Row] = []
        for method in words.methods:
            for row in measured_ways(method, words, world, rates, Path(folder)):
                rows.append(row)
                print(line(row), flush=True)
        device = device_name(world)
    write(words, device, rates, rows)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 96), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--batch", type=int, default=4, help="images of each domain")
    parser.add_argument("--steps", type=int, help="of a run; default: 5, on a GPU 25")
    parser.add_argument("--repeat", type=int, default=3, help="runs")
    parser.add_argument("--threads", type=int, default=1, help="on CPUs; a trial's default")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), help="default: all that the device has")
    parser.add_argument("--compare", type=int, default=0, help="steps whose losses are compared")
    parser.add_argument("--published", action="store_true", help="published widths of discriminators")
    parser.add_argument("--batch-norm", help="with a ResNet-101: its mode; default: the model's")
    parser.add_argument("--cache", type=Path, help="what is compiled is kept here; default: nothing is")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    return parser.parse_args()


def measured_ways(
    method: str, words: argparse.Namespace, world: World, rates: dict[str, float], folder: Path
) -> Iterator[Row]:
    """A row for each way that the method can go, when it has been measured."""
    plain = config_of(method, "fp32", words)
    made = untrained(plain, folder)
    operations = counted(plain, words, world, made)
    first: Row | None = None
    losses: list[float] = []
    for way in dict.fromkeys(possible(way, method) for way in words.ways):
        compile_into(words.cache or folder / "compiled" / way)
        config = config_of(method, way, words)
        row = measure(config, words, world, made, again=config.compile and method == words.methods[0])
        compared = losses_of(config, words, world, made) if words.compare else []
        if words.compare and not losses:
            losses = losses_of(config, words, world, made)
        row = replace(
            row,
            way=way,
            operations=operations,
            floor_seconds=operations / rates[precision(way)],
            faster=first.seconds / row.seconds if first else 1.0,
            far=distance(compared, losses) if compared else None,
        )
        first = first or row
        yield row


def compile_into(folder: Path) -> None:
    """What is compiled from now on is kept there."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    os.environ["TRITON_CACHE_DIR"] = str(folder / "kernels")


def write(words: argparse.Namespace, device: str, rates: dict[str, float], rows: list[Row]) -> None:
    """The same as JSON."""
    content = {
        "device": device,
        "size": words.size,
        "matrix_rate": rates,
        "rows": [asdict(row) for row in rows],
    }
    words.results.mkdir(exist_ok=True)
    (words.results / "train_step.json").write_text(json.dumps(content, indent=1) + "\n")


def ways_of(world: World) -> list[str]:
    """What is measured on this device."""
    return [way for way in WAYS if way != "fp32+compile"] if world.device.type == "cuda" else ["fp32"]


def measure(config: TrialConfig, words: argparse.Namespace, world: World, made: Made, *, again: bool) -> Row:
    """Time the engine's steps; what of the row depends on other ways is filled in later."""
    batch = [made_up(config, tuple(words.size))]

    def start() -> tuple[Engine, float]:
        forget(world)
        engine = Engine(config, world, made)
        return engine, STARTING * run(engine, batch, 0, STARTING)

    engine, seconds_first = start()
    seconds_again = None
    if again:
        del engine  # before the next one takes memory
        engine, seconds_again = start()
    firsts = range(STARTING, STARTING + words.repeat * words.steps, words.steps)
    seconds = min(run(engine, batch, first, words.steps) for first in firsts)
    peak = torch.cuda.max_memory_reserved() if world.device.type == "cuda" else None
    images, name = config.images_per_step, config.method.name
    return Row(name, "", seconds_first, seconds_again, seconds, images, 0.0, 0.0, 1.0, peak, None)


def forget(world: World) -> None:
    """What earlier engines left: compiled blocks in this process, and memory."""
    torch.compiler.reset()
    gc.collect()
    if world.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def counted(config: TrialConfig, words: argparse.Namespace, world: World, made: Made) -> float:
    """Floating-point operations of a step's passes."""
    forget(world)
    engine = Engine(config, world, made)
    with Operations() as operations:
        engine.backward([made_up(config, tuple(words.size))], 0)
    return float(operations.count)


def losses_of(config: TrialConfig, words: argparse.Namespace, world: World, made: Made) -> list[float]:
    """The sum of a step's losses, for every step from the first."""
    forget(world)
    engine = Engine(config, world, made)
    sums = []
    for step in range(words.compare):
        engine.backward([made_up(config, tuple(words.size), seed=step)], step)
        engine.advance(step)
        sums.append(sum(engine.meter.read(world, 1).means.values()))
    return sums


def distance(losses: list[float], others: list[float]) -> float:
    """Mean of |one - other| / |other|."""
    shares = [abs(one - other) / abs(other) for one, other in zip(losses, others, strict=True)]
    return sum(shares) / len(shares)


class Operations(TorchDispatchMode):
    """Adds up floating-point operations by torch's formulas; its own counter cannot see double backward."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch: untyped
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, and count it where there is a formula."""
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.count += formula(*args, **(kwargs or {}), out_val=result)
        return result


def matrix_rate(device: torch.device, precision: str) -> float:
    """Floating-point operations a second of a large matrix product."""
    edge = 8192 if device.type == "cuda" else 1024
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    factor = torch.rand(edge, edge, device=device, dtype=kind)
    times = []
    for _ in range(10):
        wait(device)
        began = time.perf_counter()
        factor @ factor
        wait(device)
        times.append(time.perf_counter() - began)
    return 2 * edge**3 / min(times)


def device_name(world: World) -> str:
    """The GPU's name, or the CPU's threads."""
    if world.device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} thread(s)"


def told(rates: dict[str, float]) -> str:
    """The rates in words."""
    return ", ".join(f"{precision} {rate / 1e9:,.0f} GFLOP/s" for precision, rate in rates.items())


HEADINGS = (
    f"{'method':<24}{'':<14}{'start s':>8}{'again s':>8}"
    f"{'ms/step':>10}{'images/s':>10}{'GFLOP':>9}{'floor ms':>10}"
    f"{'x floor':>9}{'faster':>8}"
)


def line(row: Row) -> str:
    """One line of the table."""
    peak = "" if row.peak_bytes is None else f"  {row.peak_bytes / 2**20:,.0f} MiB"
    far = "" if row.far is None else f"  losses {row.far:.2%} away"
    again = "" if row.again_seconds is None else f"{row.again_seconds:.1f}"
    return (
        f"{row.method:<24}{row.way:<14}{row.start_seconds:>8.1f}{again:>8}"
        f"{1e3 * row.seconds:>10.1f}{row.images / row.seconds:>10.1f}{row.operations / 1e9:>9.1f}"
        f"{1e3 * row.floor_seconds:>10.1f}{row.seconds / row.floor_seconds:>9.1f}{row.faster:>8.2f}"
        f"{peak}{far}"
    )


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(str(error))
