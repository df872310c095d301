"""Tiny trials on disk for tests: a configuration that trains within a second, and its folder."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from domains import save, write_cityscapes, write_gta5

from segda_core.classes import CLASSES
from segda_core.config import Domain, TaskConfig, TrialConfig
from segda_core.data.index import pseudo_label_file, scan
from segda_core.data.labels import read_label
from segda_core.errors import load_yaml, parse
from segda_core.files import write_json
from segda_core.methods import METHODS
from segda_core.models import build_segmenter
from segda_core.process import StopRequest, Verdict
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import digest
from segda_core.trials.tasks import RUNNERS, PseudoLabelConfig, parse_config, task_of
from segda_core.trials.weights import save_final

VALIDATION = 7

SIZES: dict[str, Any] = {"size": [64, 32], "classes": list(CLASSES)}
"""How small trials are evaluated."""

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
    "supervised+balanced": {"class_balance": {"small_class_pixels": 100}},
    "cyclegan": {"channels": 4, "blocks": 1, "discriminator_channels": 4, "pool": 5},
}
SMALL["student_more_images"] = SMALL["mrnet"]
SMALL["mrnet+mined"] = {**SMALL["mrnet"], "hard_percentile": 80}
SMALL["supervised+mined"] = {**SMALL["supervised+balanced"], "hard_percentile": 80}
"""Method options for tiny trials: narrow, at work from the first step; a few predictions are confident."""


CONTRASTIVE: dict[str, Any] = {
    "image": {"start": 0, "ramp": 0, "source_queue": 40, "target_queue": 8, "min_negatives": 2},
    "region": {"start": 0, "ramp": 0, "min_negatives": 2},
    "prototype": {"start": 0, "temperature": 0.1, "confidence": 0.0, "min_share": 0.5, "cooccurrence": True},
    "dimension": 8,
    "prototype_dimension": 8,
}
"""Every level, at work from the first step."""

CONTRACT = [
    *METHODS,
    *(f"{method}+contrastive" for method in ("adaptsegnet", "joint", "supervised", "pseudo_label")),
    "supervised+balanced",
]
"""Every method by name, and with additions."""

MINED = ["mrnet+mined", "supervised+mined"]
"""As published, but no N ranks are equal to one: hard pixels are each micro-batch's own."""


def write_domains(root: Path) -> None:
    """`root/source` and `root/target`, with 12 and 8 training images of 64x32 pixels.

    `root/labels` holds what a parent might have predicted for the latter: the truth, mirrored;
    `root/teacher.pt` an untrained network's final weights.
    """
    write_gta5(root / "source", 12)
    write_cityscapes(root / "target", 8, VALIDATION)
    for record in scan(Domain(layout="cityscapes", root=str(root / "target")), "train").records:
        assert record.label is not None
        save(pseudo_label_file(root / "labels", record.name), read_label(record.label)[:, ::-1])
    config = small_config(root, "source_only")
    assert config.model is not None
    with torch.random.fork_rng():
        torch.manual_seed(7)
        segmenter = build_segmenter(config.model)
    save_final(root / "teacher.pt", {"segmenter": segmenter}, config, "teacher", 0)


def small_config(root: Path, method: str = "joint", **changes: Any) -> TrialConfig:
    """`tiny` on the domains of `write_domains`; changes replace top-level fields.

    `METHOD+contrastive` is the method with every contrastive level; other additions are keys of `SMALL`.
    """
    domains = {
        "source": {"layout": "gta5", "root": str(root / "source")},
        "target": {"layout": "cityscapes", "root": str(root / "target")},
    }
    crop = {"crop": [48, 32], "jitter": 0.2}
    options = SMALL.get(method, {})
    method, _, addition = method.partition("+")
    raw: dict[str, Any] = {
        "contrastive": CONTRASTIVE if addition == "contrastive" else None,
        "data": {"name": "small", "domains": domains},
        "source": [{"name": "source"}],
        "target": {"name": "target"},
        "transforms": {"source": crop, "target": crop},
        "model": {"name": "tiny", "width": 8},
        "method": {"name": method, **SMALL.get(method, {}), **options},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "steps": 6,
        "batch_size": 4,
        "evaluation": SIZES,
        "log_every": 2,
        "checkpoint": {"every": 3},
    }
    return parse(TrialConfig, {**raw, **changes}, "small_config")


def skipping(config: TrialConfig) -> TrialConfig:
    """The configuration with `on_bad: skip` for every domain."""
    domains = {
        name: domain.model_copy(update={"on_bad": "skip"}) for name, domain in config.data.domains.items()
    }
    return config.model_copy(update={"data": config.data.model_copy(update={"domains": domains})})


def pseudo_label_config(root: Path, on_bad: str = "fail", **changes: Any) -> PseudoLabelConfig:
    """The task on the target of `write_domains`; changes replace top-level fields."""
    target = {"layout": "cityscapes", "root": str(root / "target"), "on_bad": on_bad}
    raw = {
        "task": "pseudo_label",
        "data": {"name": "small", "domains": {"target": target}},
        "target": {"name": "target"},
        "evaluation": SIZES,
    }
    return parse(PseudoLabelConfig, {**raw, **changes}, "pseudo_label_config")


def write_trial(folder: Path, config: TaskConfig, attempts: int = 1, **parents: dict[str, str]) -> TrialFiles:
    """A trial's folder as the launcher leaves it, with that many attempts claimed, and these parents."""
    files = TrialFiles(folder)
    for number in range(1, attempts + 1):
        files.attempt(number).root.mkdir(parents=True)
    files.config.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    if parents:
        write_json(files.trial, {"parents": parents})
    else:
        _name_made(files, config, Path(config.data.domains["target"].root).parent)
    return files


def run(trial: TrialFiles, number: int = 1, ask: Verdict = Verdict.CONTINUE) -> None:
    """One attempt in this process, perhaps asked to leave at the first chance."""
    stop = StopRequest()
    stop.ask(ask)
    threads = torch.get_num_threads()
    task = import_module(RUNNERS[task_of(parse_config(load_yaml(trial.config), str(trial.config)))])
    task.run_attempt(trial, trial.attempt(number), stop, Heartbeat(trial, trial.attempt(number), stop))
    torch.set_num_threads(threads)


def _name_made(trial: TrialFiles, config: TaskConfig, root: Path) -> None:
    """Finished parents beside the trial that made what `write_domains` wrote, for roles that need one."""
    made = {"labels": root / "labels", "segmenter": root / "teacher.pt"}
    parents = {}
    for role, (output, required) in config.inputs.items():
        if required and output in made:
            saw_labels = isinstance(config, TrialConfig) and bool(config.method.teacher_saw_labels)
            parent = TrialFiles(trial.root.parent / f"{role}-parent-{saw_labels}")
            parent.root.mkdir(exist_ok=True)
            record = {"path": str(made[output]), "sha256": digest(made[output])}
            write_json(parent.metrics, {"outputs": {output: record}, "uses_target_labels": saw_labels})
            parents[role] = {"trial": parent.root.name, "output": output}
    if parents:
        write_json(trial.trial, {"parents": parents})
