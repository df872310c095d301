"""Writes both domains to disk in the layouts of GTA5 and Cityscapes, in parallel, whole or not at all."""

import contextlib
import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segda_core.data.streets.scene import draw_sample

VERSION = "streets-v1"
"""Raised whenever a picture changes; the profile's `version` and the name of the folder."""

SOURCE_TRAIN, SOURCE_HELD_OUT = 600, 100
TARGET_CITIES = {
    "train": ("altmarkt", "brunnau", "castelburg", "dornwiek", "eschental", "falkenrode"),
    "val": ("grauhafen", "hollerbach"),
}
"""Made-up towns; those of validation are seen only there."""

STREETS_PER_CITY = 40
CHUNK = 10
"""Samples that one worker draws at a time."""

LOCK = ".maker"
"""File in a folder that is being written: its maker holds a lock on it and says on which boot it runs."""


@dataclass(frozen=True)
class Sample:
    """One picture of a domain and where its files go below the root."""

    domain: str
    index: int
    split: str
    """train, held_out (of the source) or val."""
    image: str
    labels: str


def all_samples() -> list[Sample]:
    """Every sample: the source, then the target's training split, then its validation split."""
    return [
        *(_source_sample(index) for index in range(SOURCE_TRAIN + SOURCE_HELD_OUT)),
        *(_target_sample(index, *street) for index, street in enumerate(_streets())),
    ]


def make_streets(root: Path, *, workers: int | None = None, progress: bool = True) -> bool:
    """Write `streets` to `root` unless something is there; several callers may race, one result stays.

    Whether anything was drawn.

    `workers` processes draw (default: one for each core); the files are the same whatever their number.
    """
    return write_streets(root, all_samples(), workers or len(os.sched_getaffinity(0)), progress)


def write_streets(root: Path, samples: list[Sample], workers: int, progress: bool) -> bool:
    """Write these samples to `root`, whole or not at all, unless something is there; whether it did."""
    _remove_abandoned(root)
    if root.exists() and any(root.iterdir()):
        return False
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        with _locked(temporary):
            _write_all(temporary, samples, workers, progress)
        temporary.chmod(0o755)
        _claim(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def write_samples(root: Path, samples: list[Sample]) -> int:
    """Draw samples and write their two files each; how many there were."""
    for sample in samples:
        picture, labels = draw_sample(sample.domain, sample.index)
        Image.fromarray(picture).save(root / sample.image, compress_level=1)
        Image.fromarray(labels).save(root / sample.labels, compress_level=6)
    return len(samples)


def _source_sample(index: int) -> Sample:
    name, split = f"{index + 1:05d}.png", "train" if index < SOURCE_TRAIN else "held_out"
    return Sample("render", index, split, f"render/images/{name}", f"render/labels/{name}")


def _streets() -> Iterator[tuple[str, str, int]]:
    """Split, town and number of every target picture."""
    for split, cities in TARGET_CITIES.items():
        for city in cities:
            for number in range(1, STREETS_PER_CITY + 1):
                yield split, city, number


def _target_sample(index: int, split: str, city: str, number: int) -> Sample:
    street = f"{split}/{city}/{city}_000000_{number:06d}"
    image, labels = f"leftImg8bit/{street}_leftImg8bit.png", f"gtFine/{street}_gtFine_labelIds.png"
    return Sample("camera", index, split, f"camera/{image}", f"camera/{labels}")


def _write_all(root: Path, samples: list[Sample], workers: int, progress: bool) -> None:
    for folder in {(root / path).parent for sample in samples for path in (sample.image, sample.labels)}:
        folder.mkdir(parents=True, exist_ok=True)
    held_out = [Path(sample.image).name for sample in samples if sample.split == "held_out"]
    (root / "render").mkdir(exist_ok=True)
    (root / "render" / "holdout.txt").write_text("".join(f"{name}\n" for name in held_out))
    chunks = [samples[start : start + CHUNK] for start in range(0, len(samples), CHUNK)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task(f"drawing {VERSION}", total=len(samples))
        for written in _run(root, chunks, workers):
            bar.advance(task, written)


def _run(root: Path, chunks: list[list[Sample]], workers: int) -> Iterator[int]:
    if workers == 1:
        yield from (write_samples(root, chunk) for chunk in chunks)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_parent) as pool:
        try:
            with _unheard_by_workers():
                jobs = [pool.submit(write_samples, root, chunk) for chunk in chunks]
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _unheard_by_workers() -> Iterator[None]:
    """Start workers that a terminal's signals do not end: the pool does, when it has heard of them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """A killed parent leaves no worker behind: pool workers would wait for work for ever."""
    threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _claim(temporary: Path, root: Path) -> None:
    """Give the finished folder its name; where another caller was first, its folder stays."""
    try:
        temporary.rename(root)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Meanwhile nobody takes the folder for one that a killed maker left."""
    with (folder / LOCK).open("w") as lock:
        with contextlib.suppress(OSError):  # a file system without locks: the folder is never taken for one
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(_boot())
            lock.flush()
        yield
        (folder / LOCK).unlink()  # before the lock goes: without it, somebody may remove the folder


def _remove_abandoned(root: Path) -> None:
    """Remove what makers of `root` left that were killed: on this machine, since it was started."""
    for path in root.parent.glob(f".{escape(root.name)}.*/{LOCK}"):
        with contextlib.suppress(OSError), path.open("r+") as lock:  # locked, or gone meanwhile
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.read() == _boot():
                shutil.rmtree(path.parent, ignore_errors=True)


def _boot() -> str:
    """What tells the time since this machine was started from every other, on any machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text()
