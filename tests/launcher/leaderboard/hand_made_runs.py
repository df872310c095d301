"""Hand-made runs folders: what the launcher and the trainer would have left, in a few lines."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from launcher.trial import Trial
from segda_core.classes import CLASSES
from segda_core.config import TrialConfig
from segda_core.errors import parse
from segda_core.files import write_json, write_text
from segda_core.trials.layout import TrialFiles


def make_config(**values: Any) -> TrialConfig:
    """A small trial; dotted paths (with `__` for the dot) set values, `method` may be a bare name."""
    raw: dict[str, Any] = {
        "data": {
            "name": "streets",
            "domains": {
                "render": {"layout": "gta5", "root": "streets-v1/render"},
                "camera": {"layout": "cityscapes", "root": "streets-v1/camera"},
            },
        },
        "source": [{"name": "render"}],
        "target": {"name": "camera"},
        "model": {"name": "tiny"},
        "method": {"name": "source_only"},
        "steps": 200,
        "evaluation": {"size": [192, 96]},
    }
    for path, value in values.items():
        *parents, key = path.split("__")
        node = raw
        for parent in parents:
            node = node.setdefault(parent, {})
        node[key] = {"name": value} if path == "method" and isinstance(value, str) else value
    return parse(TrialConfig, raw, "test")


def at(config: TrialConfig, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = config.model_dump(mode="json")
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def make_metrics(config: TrialConfig, miou: float, **changes: Any) -> dict[str, Any]:
    """metrics.json with every declared class at `miou`."""
    target, labelled = config.target.subset, config.target.labelled
    declared = config.evaluation.classes
    count = {"all": 240}
    metrics: dict[str, Any] = {
        "schema": 1,
        "task": "train",
        "attempt": 1,
        "outputs": {"segmenter": {"path": "attempts/1/checkpoints/final.pt", "sha256": "0" * 64}},
        "miou": miou,
        "iou": {name: miou if name in declared else None for name in CLASSES},
        "pixel_accuracy": 0.75,
        "classes": list(declared),
        "protocol": {
            "name": config.evaluation.protocol,
            "data": config.data.name,
            "version": config.data.version,
            "split_manifest": "aaaa",
            "classes": list(declared),
            "input_sizes": [list(config.evaluation.size)],
        },
        "uses_target_labels": config.uses_target_labels,
        "source_images": 600,
        "target_images": 0 if target is None else count.get(str(target.size), target.size),
        "labelled_images": 0 if labelled is None else count.get(str(labelled.size), labelled.size),
        "steps": config.steps,
        "seed": config.seed,
        "subset_seed": None if target is None else target.seed,
        "images_per_second": 40.0,
        "wall_seconds": 20.0,
        "gpu_hours": 0.0,
        "quality": None,
        "manifest_hash": "then",
        "code": {"commit": "abc", "diff_hash": "d"},
    }
    return {**metrics, **changes}


@dataclass
class Board:
    """One sweep's folder being made."""

    runs: Path
    sweep: str = "demo"
    planned: dict[str, list[str]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.runs / self.sweep

    def trial(
        self,
        miou: float | None = None,
        *,
        point: tuple[str, ...] = ("method", "target.subset.size", "seed"),
        plan: bool = True,
        stage: str | None = None,
        parents: dict[str, Any] | None = None,
        of: TrialFiles | None = None,
        changes: dict[str, Any] | None = None,
        **values: Any,
    ) -> TrialFiles:
        """Write one trial, finished where a mIoU is given, and add it to the plan.

        `parents` are values of axes that it has from its parent, which is the trial `of`, or not there.
        """
        config = make_config(**values)
        own = {path: at(config, path) for path in point}
        family = {"p": str(parents) if of is None else of.root.name} if parents or of else {}
        trial = Trial(self.sweep, config, {**(parents or {}), **own}, stage, family)
        files = trial.files(self.runs)
        write_text(files.config, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        write_json(
            files.trial,
            {
                "sweep": self.sweep,
                "id": trial.id,
                "label": trial.label,
                "stage": stage,
                "parents": {role: {"trial": parent} for role, parent in trial.parents.items()},
                "point": trial.point,
            },
        )
        if miou is not None:
            metrics = {"trial": trial.id, **make_metrics(config, miou, **(changes or {}))}
            write_json(files.metrics, metrics)
        if plan:
            self.plan_only(trial.id, config.data.name)
        return files

    def plan_only(self, identifier: str, data: str = "streets") -> None:
        """Plan a trial whose directory may not exist."""
        self.planned.setdefault(data, []).append(identifier)
        write_json(self.root / "plan.json", {"schema": 1, "data": self.planned})

    def outcome(self, files: TrialFiles, **outcome: Any) -> None:
        """End the trial's first attempt."""
        ended = {"status": "failed", "cause": None, "message": "", "step": 3, "time": 0.0, **outcome}
        write_json(files.attempt(1).outcome, ended)
