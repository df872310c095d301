"""Steps of a trial on made-up batches: what the benchmarks of steps and of ranks share."""

import argparse
import time
from pathlib import Path
from typing import Any, get_args

import torch

from segda_core.classes import IGNORE_INDEX, NUM_CLASSES
from segda_core.config import Stream, TrialConfig
from segda_core.engine import Engine
from segda_core.errors import parse
from segda_core.methods.base import Batch, DomainBatch
from segda_core.models import build_segmenter
from segda_core.trials.weights import save_final

Made = dict[str, Path]
"""Files of parents, by role."""
RATE = 1e-5
"""Learning rate: noise does not blow up untrained networks by it, and losses can be compared."""
NARROW: dict[str, dict[str, Any]] = {
    "adaptsegnet": {"channels": 16},
    "mrnet": {"channels": 8, "mr_start": 0},
    "student_more_images": {"channels": 8, "mr_start": 0},
    "cyclegan": {"channels": 16, "blocks": 6, "discriminator_channels": 16},
}
"""Widths of the shipped sweeps on `streets`; `--published` takes the papers'."""


WAYS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp32+compile": {"compile": True},
    "bf16": {"precision": "bf16"},
    "bf16+compile": {"precision": "bf16", "compile": True},
    "bf16+capture": {"precision": "bf16", "capture": True},
    "bf16+both": {"precision": "bf16", "compile": True, "capture": True},
}
"""Settings of a trial that change how fast a step is and not, but for rounding, what it computes."""


def possible(way: str, method: str) -> str:
    """That way, or what of it the method allows: CycleGAN's pools of old images cannot be captured."""
    uncaptured = {"bf16+capture": "bf16", "bf16+both": "bf16+compile"}
    return uncaptured.get(way, way) if method == "cyclegan" else way


def precision(way: str) -> str:
    """What its products are computed in."""
    return way.partition("+")[0]


def config_of(method: str, way: str, words: argparse.Namespace) -> TrialConfig:
    """A trial of that method; its data is never read."""
    domains = {
        "source": {"layout": "gta5", "root": "none"},
        "target": {"layout": "cityscapes", "root": "none"},
    }
    options = {} if words.published else NARROW.get(method, {})
    network = {} if method == "cyclegan" else {"model": model_of(words)}
    raw: dict[str, Any] = {
        "data": {"name": "none", "domains": domains},
        "source": [{"name": "source"}],
        "target": {"name": "target"},
        "transforms": {"source": {"crop": list(words.size)}, "target": {"crop": list(words.size)}},
        **network,
        "method": {"name": method, **options},
        "optimizer": {"name": "sgd", "lr": RATE},
        "steps": 1000,
        "batch_size": words.batch,
        **WAYS[way],
        "evaluation": {"size": list(words.size)},
    }
    return parse(TrialConfig, raw, "train_step")


def model_of(words: argparse.Namespace) -> dict[str, Any]:
    """Untrained: nothing is fetched."""
    weights = {} if words.model == "tiny" else {"weights": "none"}
    batch_norm = getattr(words, "batch_norm", None)
    return {"name": words.model, **weights, **({} if batch_norm is None else {"batch_norm": batch_norm})}


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


def untrained(config: TrialConfig, folder: Path) -> Made:
    """A teacher's weights, where the method learns from one."""
    if not config.method.learns_from_teacher:
        return {}
    assert config.model is not None
    save_final(folder / "teacher.pt", {"segmenter": build_segmenter(config.model)}, config, "teacher", 0)
    return {"teacher": folder / "teacher.pt"}


def made_up(config: TrialConfig, size: tuple[int, int], seed: int = 0) -> Batch:
    """Noise, and labels in blocks of 16 pixels, of every stream; a tenth of the blocks is ignored."""
    random = torch.Generator().manual_seed(seed)
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
