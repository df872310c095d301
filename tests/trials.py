"""Tiny trials on disk for tests: a configuration that trains within a second, and its folder."""

from pathlib import Path
from typing import Any

import yaml
from domains import save, write_cityscapes, write_gta5

from segda_core.classes import CLASSES
from segda_core.config import Domain, TrialConfig
from segda_core.data.dataset import read_record_label
from segda_core.data.index import scan
from segda_core.data.labels import pseudo_label_file
from segda_core.errors import parse
from segda_core.layout import TrialFiles, write_json
from segda_core.parents import digest

VALIDATION = 7

SMALL: dict[str, dict[str, Any]] = {
    "adaptsegnet": {"channels": 4},
    "ema_classmix": {"threshold": 0.0545, "masked": {"patch": 8}},
    "mrnet": {
        "channels": 4,
        "mr_start": 0,
        "hard_percentile": 0,  # the percentile is each micro-batch's own: N of them do not equal one
        "class_balance": {"small_class_pixels": 100},
    },
    "pseudo_label": {"class_balance": {"small_class_pixels": 100}},
}
"""Method options for tiny trials: narrow, at work from the first step; a few predictions are confident."""


def write_domains(root: Path) -> None:
    """`root/source` and `root/target`, with 12 and 8 training images of 64x32 pixels.

    `root/labels` holds what a parent might have predicted for the latter: the truth, mirrored.
    """
    write_gta5(root / "source", 12)
    write_cityscapes(root / "target", 8, VALIDATION)
    for record in scan(Domain(layout="cityscapes", root=str(root / "target")), "train").records:
        save(pseudo_label_file(root / "labels", record.name), read_record_label(record)[:, ::-1])


def small_config(root: Path, method: str = "joint", **changes: Any) -> TrialConfig:
    """`tiny` on the domains of `write_domains`; changes replace top-level fields."""
    domains = {
        "source": {"layout": "gta5", "root": str(root / "source")},
        "target": {"layout": "cityscapes", "root": str(root / "target")},
    }
    crop = {"crop": [48, 32], "jitter": 0.2}
    raw: dict[str, Any] = {
        "data": {"name": "small", "domains": domains},
        "source": [{"name": "source"}],
        "target": {"name": "target"},
        "transforms": {"source": crop, "target": crop},
        "model": {"name": "tiny", "width": 8},
        "method": {"name": method, **SMALL.get(method, {})},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "steps": 6,
        "batch_size": 4,
        "evaluation": {"size": [64, 32], "classes": list(CLASSES)},
        "log_every": 2,
        "checkpoint": {"every": 3},
    }
    return parse(TrialConfig, {**raw, **changes}, "small_config")


def write_trial(folder: Path, config: TrialConfig, attempts: int = 1) -> TrialFiles:
    """A trial's folder as the launcher leaves it, with that many attempts claimed."""
    files = TrialFiles(folder)
    for number in range(1, attempts + 1):
        files.attempt(number).root.mkdir(parents=True)
    files.config.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    if "labels" in config.method.inputs:
        _name_labels(files, Path(config.data.domains["target"].root).parent / "labels")
    return files


def _name_labels(trial: TrialFiles, labels: Path) -> None:
    """A finished parent beside the trial that made the labels of `write_domains`."""
    parent = TrialFiles(trial.root.parent / "labels-parent")
    parent.root.mkdir(exist_ok=True)
    write_json(parent.metrics, {"outputs": {"labels": {"path": str(labels), "sha256": digest(labels)}}})
    write_json(trial.trial, {"parents": {"labels": {"trial": parent.root.name, "output": "labels"}}})
