"""Every fault many times at random moments, and docs/faults.md: `make faults REPEAT=20`."""

import argparse
import importlib.metadata
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from private_slurm.up import missing_programs
from ray_heads import ray_head_of
from slurm_cluster import slurm_cluster

from faults.report import Count, Page, run_line, total
from faults.rounds import Struck, left_alone, local_round, ray_round, slurm_round
from segda_core.checkout import current_commit

Round = Callable[[Path, random.Random], list[Struck]]

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
RAY_CPUS = 8


def main() -> None:
    """Run the rounds; exit code 1 where a trial was lost, ran twice or differs."""
    words = _words()
    page, clean = Page(words.page), True
    if not words.add:
        page.clear()
    with tempfile.TemporaryDirectory(prefix="segda-faults-") as text, _executors(Path(text)) as rounds:
        folder = Path(text)
        alone = left_alone(folder / "alone")
        for number in range(1, words.repeat + 1):
            began = time.monotonic()
            counts: dict[tuple[str, str], Count] = {}
            for executor, struck in _one_of_each(rounds, folder, words.seed, number):
                counts.setdefault((executor, struck.fault), Count()).add(struck.victim, alone)
            machine = f"{os.cpu_count()} CPU cores"
            this = run_line(number, words.seed, machine, _versions(), added=words.add)
            on_page = page.add(counts, this)  # what was measured stays, should the next round be interrupted
            seconds = time.monotonic() - began
            print(f"round {number} of {words.repeat}: {seconds:.0f} s; {total(on_page.values())}", flush=True)
            clean = clean and all(count.is_clean for count in counts.values())
    sys.exit(not clean)


def _one_of_each(
    rounds: dict[str, Round], folder: Path, seed: int, number: int
) -> Iterator[tuple[str, Struck]]:
    """A round on every executor, side by side."""
    with ThreadPoolExecutor(len(rounds)) as side_by_side:
        running = {}
        for executor, make in rounds.items():
            (own := folder / f"{executor} {number}").mkdir()
            running[executor] = side_by_side.submit(make, own, random.Random(f"{seed} {executor} {number}"))
    for executor, made in running.items():
        yield from ((executor, struck) for struck in made.result())


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments")
    parser.add_argument("--add", action="store_true", help="add to what the page counts already")
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser.parse_args()


@contextmanager
def _executors(folder: Path) -> Iterator[dict[str, Round]]:
    """A round of each, with a cluster of our own where it needs one."""
    if missing := missing_programs():
        sys.exit(
            f"Slurm is not installed: no {', '.join(missing)}; run tools/debian_packages.py slurm as root"
        )
    with ExitStack() as stack:
        cluster = stack.enter_context(slurm_cluster(folder / "slurm"))
        head = stack.enter_context(ray_head_of(RAY_CPUS))
        yield {
            "local": local_round,
            "slurm": partial(slurm_round, cluster=cluster),
            "ray": partial(ray_round, head=head),
        }


def _versions() -> str:
    slurm = subprocess.run(["sinfo", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    packages = (f"{name} {importlib.metadata.version(name)}" for name in ("ray", "submitit", "torch"))
    return ", ".join([slurm, *packages, f"segda at {(current_commit() or 'no commit')[:7]}"])


if __name__ == "__main__":
    main()
