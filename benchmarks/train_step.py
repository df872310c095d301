"""How long one optimizer step of every method takes, beside what its arithmetic alone would take.

    python benchmarks/train_step.py [--methods mrnet ...] [--model tiny] [--batch 4] [--steps 5]

Runs the real engine on made-up batches that are there already: no reading, no evaluation. `floor` is the
step's floating-point operations (convolutions and matrix products, as torch counts them) over the rate of a
large matrix product, measured before. Of several runs the fastest counts, since what else the machine does
only ever adds. On a GPU each method runs in fp32 and in bf16 (`faster`: fp32 over bf16), and peak memory is
told; without one, fp32 alone.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from segda_core.classes import IGNORE_INDEX, NUM_CLASSES
from segda_core.config import Stream, TrialConfig
from segda_core.distributed import World, connect
from segda_core.engine import Engine
from segda_core.errors import parse
from segda_core.methods import METHODS
from segda_core.methods.base import Batch, DomainBatch
from segda_core.models import build_segmenter
from segda_core.weights import save_final

RESULTS = Path(__file__).parent / "results"
NARROW: dict[str, dict[str, Any]] = {
    "adaptsegnet": {"channels": 16},
    "mrnet": {"channels": 8, "mr_start": 0},
    "student_more_images": {"channels": 8, "mr_start": 0},
    "cyclegan": {"channels": 16, "blocks": 6, "discriminator_channels": 16},
}
"""Widths of the shipped sweeps on `streets`; `--published` takes the papers'."""


@dataclass(frozen=True)
class Row:
    """One method in one precision; seconds, floating-point operations, bytes."""

    method: str
    precision: str
    seconds: float
    images: int
    operations: float
    floor_seconds: float
    peak_bytes: int | None


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 96), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--batch", type=int, default=4, help="images of each domain")
    parser.add_argument("--steps", type=int, default=5, help="of a run")
    parser.add_argument("--repeat", type=int, default=3, help="runs")
    parser.add_argument("--threads", type=int, default=1, help="on CPUs; a trial's default")
    parser.add_argument("--published", action="store_true", help="published widths of discriminators")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    with tempfile.TemporaryDirectory(prefix="segda-step-") as text, connect(1) as world:
        rates = {precision: matrix_rate(world.device, precision) for precision in precisions(world)}
        print(f"{device_name(world)}; matrix products: " + told(rates))
        print(
            f"{'method':<24}{'':>6}{'ms/step':>10}{'images/s':>10}{'GFLOP':>9}{'floor ms':>10}{'x floor':>9}"
        )
        rows = []
        for method in words.methods:
            made = []
            for precision in rates:
                config = config_of(method, precision, words)
                row = measure(config, words, world, rates[precision], Path(text))
                made.append(row)
                print(line(row), flush=True)
            if len(made) == 2:
                print(f"{'':<24}{'faster':>6}{made[0].seconds / made[1].seconds:>10.2f}")
            rows += made
        device = device_name(world)
    content = {
        "device": device,
        "size": words.size,
        "matrix_rate": rates,
        "rows": [asdict(row) for row in rows],
    }
    words.results.mkdir(exist_ok=True)
    (words.results / "train_step.json").write_text(json.dumps(content, indent=1) + "\n")


def precisions(world: World) -> Sequence[str]:
    """What is measured on this device."""
    return ("fp32", "bf16") if world.device.type == "cuda" else ("fp32",)


def config_of(method: str, precision: str, words: argparse.Namespace) -> TrialConfig:
    """A trial of that method; its data is never read."""
    domains = {
        "source": {"layout": "gta5", "root": "none"},
        "target": {"layout": "cityscapes", "root": "none"},
    }
    options = {} if words.published else NARROW.get(method, {})
    network = {} if method == "cyclegan" else {"model": {"name": words.model, **weights_of(words.model)}}
    raw: dict[str, Any] = {
        "data": {"name": "none", "domains": domains},
        "source": [{"name": "source"}],
        "target": {"name": "target"},
        "transforms": {"source": {"crop": list(words.size)}, "target": {"crop": list(words.size)}},
        **network,
        "method": {"name": method, **options},
        "steps": 1000,
        "batch_size": words.batch,
        "precision": precision,
        "evaluation": {"size": list(words.size)},
    }
    return parse(TrialConfig, raw, "train_step")


def weights_of(model: str) -> dict[str, str]:
    """Untrained: nothing is fetched."""
    return {} if model == "tiny" else {"weights": "none"}


def measure(config: TrialConfig, words: argparse.Namespace, world: World, rate: float, folder: Path) -> Row:
    """Time the engine's steps."""
    made = {"teacher": untrained(config, folder)} if config.method.learns_from_teacher else {}
    engine = Engine(config, world, made)
    batch = [made_up(config, tuple(words.size))]
    with Operations() as operations:
        engine.backward(batch, 0)
    engine.advance(0)
    if world.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = min(run(engine, batch, 1 + words.steps * number, words.steps) for number in range(words.repeat))
    peak = torch.cuda.max_memory_allocated() if world.device.type == "cuda" else None
    images = config.images_per_step
    count = float(operations.count)
    return Row(config.method.name, config.precision, seconds, images, count, count / rate, peak)


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up floating-point operations by torch's formulas; its own counter cannot see double backward."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, and count it where there is a formula."""
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.count += formula(*args, **(kwargs or {}), out_val=result)
        return result


def run(engine: Engine, batch: list[Batch], first: int, steps: int) -> float:
    """Seconds of a step."""
    wait(engine.world.device)
    began = time.perf_counter()
    for step in range(first, first + steps):
        engine.backward(batch, step)
        engine.advance(step)
    wait(engine.world.device)
    return (time.perf_counter() - began) / steps


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def untrained(config: TrialConfig, folder: Path) -> Path:
    """A teacher's weights."""
    assert config.model is not None
    save_final(folder / "teacher.pt", {"segmenter": build_segmenter(config.model)}, config, "teacher", 0)
    return folder / "teacher.pt"


def made_up(config: TrialConfig, size: tuple[int, int]) -> Batch:
    """Noise, and labels in blocks of 16 pixels, of every stream; a tenth of the blocks is ignored."""
    random = torch.Generator().manual_seed(0)
    width, height = size
    domains = {}
    for stream in get_args(Stream):
        if stream in config.streams:
            images = torch.randint(256, (config.batch_size, 3, height, width), generator=random)
            blocks = torch.randint(NUM_CLASSES, (config.batch_size, height, width), generator=random)
            blocks[torch.rand(blocks.shape, generator=random) < 0.1] = IGNORE_INDEX
            labels = blocks[:, ::16, ::16].repeat_interleave(16, 1).repeat_interleave(16, 2)
            seen = None if stream == "target" else labels[:, :height, :width].contiguous()
            domains[stream] = DomainBatch(images.to(torch.uint8), seen, tuple(range(config.batch_size)))
    return Batch(**domains, indices=tuple(range(config.batch_size)))


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


def line(row: Row) -> str:
    """One line of the table."""
    peak = "" if row.peak_bytes is None else f"  {row.peak_bytes / 2**20:,.0f} MiB"
    return (
        f"{row.method:<24}{row.precision:>6}{1e3 * row.seconds:>10.1f}{row.images / row.seconds:>10.1f}"
        f"{row.operations / 1e9:>9.1f}{1e3 * row.floor_seconds:>10.1f}"
        f"{row.seconds / row.floor_seconds:>9.1f}{peak}"
    )


if __name__ == "__main__":
    main()
