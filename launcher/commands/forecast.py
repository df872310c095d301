"""How long trials will take and how much disk they need, judged by finished ones."""

import os
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.trials.prepare import read_config
from launcher.trials.progress import UNREADABLE
from segda_core.config import (
    AdaptSegNetConfig,
    CycleGanConfig,
    MemoryRegularisationConfig,
    MethodSettings,
    ModelConfig,
    TaskConfig,
    TinyConfig,
    TrialConfig,
)
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles

READ_PER_KIND = 8
"""Finished trials of other sweeps read for each method and data profile."""

MIN_STEPS = 20
"""Shorter trials say nothing about speed: they are all start-up."""

PARAMETERS = {
    "tiny": 0.21e6,
    "lite0": 3.4e6,
    "deeplabv2_resnet101": 44.6e6,
    "deeplabv2_mrnet_resnet101": 93.5e6,
    "deeplabv3plus_resnet101": 45.7e6,
}
"""About; tiny's for its default width of 16."""

GENERATOR_PARAMETERS = 11.4e6
"""Of one of CycleGAN's at 64 channels."""

DISCRIMINATOR_PARAMETERS = {64: 2.8e6, 32: 1.04e6}
"""Of one discriminator by its published channels: AdaptSegNet's and CycleGAN's, MRNet's."""

BYTES_PER_PARAMETER = 12
"""Weights and two moments of an adaptive optimizer, 4 bytes each."""

SAVED_STATES = 2
"""Checkpoints that stay beside the final weights."""


@dataclass(frozen=True)
class PastRun:
    """What one finished trial took."""

    images_per_second: float
    other_seconds: float
    """Start, evaluation and saving."""


@dataclass(frozen=True)
class Forecast:
    """What one trial will probably take."""

    seconds: float | None
    """None where nothing comparable has finished."""
    disk_bytes: int


class Past:
    """Finished trials: of the sweep at hand, and a few of every other one under `runs`."""

    def __init__(self, runs: Path) -> None:
        self._directories = _finished_candidates(runs)
        self._speeds: dict[Hashable, PastRun] = {}
        self._sizes: dict[Hashable, int] = {}
        self._read: set[tuple[str, str]] = set()

    def add(self, config: TaskConfig, metrics: Mapping[str, Any], files: TrialFiles) -> None:
        """Learn from a finished trial that trained."""
        if not isinstance(config, TrialConfig):
            return
        rate = metrics["images_per_second"]
        if config.steps >= MIN_STEPS and rate > 0:
            other = metrics["wall_seconds"] - _images(config) / rate
            self._speeds.setdefault(_kind_of_speed(config), PastRun(rate, max(0.0, other)))
        if _kind_of_size(config) not in self._sizes:
            folder = files.attempt(metrics["attempt"]).checkpoints
            self._sizes[_kind_of_size(config)] = _folder_size(folder)

    def forecast(self, config: TaskConfig) -> Forecast:
        """Judge a trial by a finished one of the same kind, where there is one; only training is judged."""
        if not isinstance(config, TrialConfig):
            return Forecast(None, 0)
        if _kind_of_speed(config) not in self._speeds:
            self._read_others(config.method.name, config.data.name)
        past = self._speeds.get(_kind_of_speed(config))
        seconds = None if past is None else past.other_seconds + _images(config) / past.images_per_second
        return Forecast(seconds, self._sizes.get(_kind_of_size(config)) or estimated_bytes(config))

    def _read_others(self, method: str, data: str) -> None:
        if (method, data) in self._read:
            return
        self._read.add((method, data))
        found = 0
        for folder in self._directories:
            if found == READ_PER_KIND:
                return
            if f"-{method}-{data}-" not in f"-{folder.rpartition('/')[2]}":
                continue
            files = TrialFiles(Path(folder))
            if files.metrics.exists():
                found += 1
                self._add_directory(files)

    def _add_directory(self, files: TrialFiles) -> None:
        with suppress(*UNREADABLE):  # broken, or written by another version: nothing to compare with
            if metrics := read_json(files.metrics):
                self.add(read_config(files), metrics, files)


def estimated_bytes(config: TrialConfig) -> int:
    """Checkpoints and final weights, from the networks' sizes."""
    segmenter = 0.0 if config.model is None else _segmenter_parameters(config.model)
    generator = _generator_parameters(config.method)
    others = 2 * generator + _discriminator_parameters(config.method)
    teacher = 4 * segmenter if config.method.has_teacher else 0.0
    states = SAVED_STATES + len(config.checkpoint.keep_steps)
    return int(4 * (segmenter + generator) + states * (BYTES_PER_PARAMETER * (segmenter + others) + teacher))


def _generator_parameters(method: MethodSettings) -> float:
    if not isinstance(method, CycleGanConfig):
        return 0.0
    return GENERATOR_PARAMETERS * (method.channels / 64) ** 2


def _discriminator_parameters(method: MethodSettings) -> float:
    """Of all of a method's discriminators: their published size grows with the square of the width."""
    if isinstance(method, AdaptSegNetConfig):
        number, published, channels = (2 if method.levels == "multi" else 1), 64, method.channels
    elif isinstance(method, CycleGanConfig):
        number, published, channels = 2, 64, method.discriminator_channels
    elif isinstance(method, MemoryRegularisationConfig):
        number, published, channels = 2, 32, method.channels
    else:
        return 0.0
    return number * DISCRIMINATOR_PARAMETERS[published] * (channels / published) ** 2


def _segmenter_parameters(model: ModelConfig) -> float:
    growth = (model.width / 16) ** 2 if isinstance(model, TinyConfig) else 1.0
    return PARAMETERS[model.name] * growth


def _images(config: TrialConfig) -> int:
    """Images of all streams over the whole training."""
    return config.steps * config.images_per_step


def _kind_of_speed(config: TrialConfig) -> Hashable:
    share = (config.batch_size, config.micro_batches, config.ranks, config.threads)
    way = (config.precision, config.compile, config.capture)
    return (
        config.data.name,
        config.method,
        config.model,
        config.transforms,
        config.evaluation.size,
        share,
        way,
    )


def _kind_of_size(config: TrialConfig) -> Hashable:
    return config.method, config.model, config.optimizer.name, config.checkpoint


def _finished_candidates(runs: Path) -> list[str]:
    """Every directory two levels below `runs`; none is opened."""
    return [trial for sweep in _folders(runs) for trial in _folders(sweep)]


def _folders(folder: str | Path) -> Iterable[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []


def _folder_size(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())
    except FileNotFoundError:
        return 0
