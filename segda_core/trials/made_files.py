"""Tasks that make files of every image: shared among ranks, gone on with after a crash, published together.

Each file is written whole or not at all below the attempt's own folder. A later attempt takes over what
earlier ones finished, as long as the parents are those that they read; ranks, and how often a trial was
interrupted, change nothing in the files.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from segda_core.config import OutputName, TaskConfig
from segda_core.data.index import ImageRecord
from segda_core.data.manifest import TrialImages, select_images
from segda_core.distributed import connect
from segda_core.errors import DataError
from segda_core.files import write_bytes, write_json
from segda_core.process import Leave, StopRequest, Verdict
from segda_core.trials.environment import environment
from segda_core.trials.execution import Execution
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.parents import digest
from segda_core.trials.result import publish_result
from segda_core.trials.start import Start
from segda_core.trials.trial_history import counted_attempts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Product:
    """What a task makes of each image."""

    output: OutputName
    """Name of the output, and of its folder."""
    records: Sequence[ImageRecord]
    names: Callable[[ImageRecord], tuple[str, ...]]
    """An image's files, relative to the folder."""
    make: Callable[[ImageRecord], Mapping[str, bytes]]
    """Their content by these names; `DataError` where the image cannot be read."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the result says beside."""


Build = Callable[[Start, TrialImages, torch.device], Product]
"""From what the parents made, and the images of the trial."""


def run_file_task(
    config: TaskConfig,
    trial: TrialFiles,
    files: AttemptFiles,
    stop: StopRequest,
    heartbeat: Heartbeat,
    build: Build,
) -> None:
    """Run this rank of the attempt; returns when it finished or left in order."""
    torch.set_num_threads(config.threads)
    with connect(config.ranks) as world:
        execution = Execution(trial, files, world, stop, heartbeat)
        try:
            execution.check_fence()
            make_and_publish(config, execution, build)
        except Leave as leave:
            execution.leave(leave.verdict, heartbeat.step)


def make_and_publish(config: TaskConfig, execution: Execution, build: Build) -> None:
    """Every image's files, then the result; collective."""
    world, files = execution.world, execution.files
    start = execution.find_start(config)
    images = select_images(config)
    if world.is_main:
        write_json(files.environment, {**environment(images, 0), "parents": start.parents})
    world.agree(Verdict.CONTINUE)  # no file before the record of what it was made from
    product = build(start, images, world.device)
    counted = counted_attempts(execution.trial, files.number, start.since)
    earlier = [attempt.root / product.output for attempt in counted if attempt.number < files.number]
    _make_files(execution, product, earlier)
    if world.is_main and not _publish(config, execution, product):
        raise Leave(Verdict.SUPERSEDED)


def _make_files(execution: Execution, product: Product, earlier: Sequence[Path]) -> None:
    """Rank i of n makes those of image i, i + n, ...; collective."""
    world, heartbeat = execution.world, execution.heartbeat
    total = len(product.records)
    heartbeat.phase, heartbeat.steps = product.output, total
    folder, started = execution.files.root / product.output, time.perf_counter()
    for first in range(0, total, world.ranks):
        if first + world.rank < total:
            _provide(product, product.records[first + world.rank], folder, earlier)
        heartbeat.step = min(total, first + world.ranks)
        heartbeat.images_per_second = round(heartbeat.step / (time.perf_counter() - started), 3)
        verdict = world.agree(execution.stop.verdict)
        if verdict != Verdict.CONTINUE:
            raise Leave(verdict)


def _provide(product: Product, record: ImageRecord, folder: Path, earlier: Sequence[Path]) -> None:
    """One image's files: taken over where an earlier attempt has them all, else made."""
    names = product.names(record)
    for other in earlier:
        if all((other / name).exists() for name in names):
            for name in names:
                _take_over(other / name, folder / name)
            return
    try:
        contents = product.make(record)
    except DataError as error:
        if not record.may_skip:
            raise
        logger.warning("skipped: %s", error)
        return
    for name in names:
        write_bytes(folder / name, contents[name])


def _take_over(path: Path, own: Path) -> None:
    """A second name for a file that nobody writes to any more, or a copy where file systems have no links."""
    own.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, own)
    except OSError:
        temporary = own.with_name(f".{own.name}.{os.getpid()}")
        shutil.copyfile(path, temporary)
        temporary.replace(own)


def _publish(config: TaskConfig, execution: Execution, product: Product) -> bool:
    """The folder and its hash as the trial's result."""
    folder = execution.files.root / product.output
    made = [record for record in product.records if (folder / product.names(record)[0]).exists()]
    if not made:
        raise DataError(f"none of {len(product.records)} images can be read")
    wall = time.time() - execution.heartbeat.started
    content = {
        "outputs": {
            product.output: {
                "path": str(folder.relative_to(execution.trial.root)),
                "sha256": digest(folder),
            }
        },
        **product.facts,
        "images": len(made),
        "steps": len(product.records),
        "images_per_second": execution.heartbeat.images_per_second,
        "wall_seconds": round(wall, 1),
        "gpu_hours": round(wall / 3600 * execution.world.gpus, 4),
    }
    return publish_result(config, execution, content)
