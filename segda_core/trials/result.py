"""The result of a trial: metrics.json, and where it trained the final weights."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from segda_core.classes import CLASSES
from segda_core.config import OutputName, TaskConfig, TrialConfig
from segda_core.data.dataset import Notes
from segda_core.data.manifest import TrialImages
from segda_core.files import publish, read_json, write_json
from segda_core.inference.evaluation import Evaluation
from segda_core.trials.execution import Execution
from segda_core.trials.heartbeat import superseded
from segda_core.trials.parents import Record
from segda_core.trials.tasks import task_of
from segda_core.trials.weights import save_final

logger = logging.getLogger(__name__)

SCHEMA = 1
"""Version of metrics.json's form."""


@dataclass(frozen=True)
class Effort:
    """What the trial took, over all attempts whose work is in the result."""

    images_per_second: float
    """Training images of all domains over training time, evaluation and saving left out."""
    wall_seconds: float
    """From process start, up to the checkpoint that the next attempt went on from."""
    gpu_hours: float
    """Wall time times GPUs; 0 on CPUs."""


def write_result(
    config: TrialConfig,
    execution: Execution,
    images: TrialImages,
    final: Mapping[OutputName, nn.Module],
    found: Mapping[str, Any],
    effort: Effort,
) -> bool:
    """Write the final weights, and publish metrics.json with what was found as `publish_result` does."""
    trial, path = execution.trial, execution.files.checkpoints / "final.pt"
    digest = save_final(path, final, config, trial.root.name, config.steps)
    output = {"path": str(path.relative_to(trial.root)), "sha256": digest}
    content = {
        "outputs": dict.fromkeys(final, output),
        **found,
        **_training_fields(config, images),
        "images_per_second": round(effort.images_per_second, 3),
        "wall_seconds": round(effort.wall_seconds, 1),
        "gpu_hours": round(effort.gpu_hours, 4),
    }
    _log_bad_images(content)
    return publish_result(config, execution, content)


def publish_result(config: TaskConfig, execution: Execution, content: Mapping[str, Any]) -> bool:
    """Publish what a task says of its result, with what all say; False where that is no longer its right.

    The trial has a result already, or a higher attempt exists: a rerun makes it before it removes a result.
    """
    trial, files = execution.trial, execution.files
    ran_on = read_json(files.environment)
    assert ran_on is not None
    whole = {
        "schema": SCHEMA,
        "trial": trial.root.name,
        "task": task_of(config),
        "attempt": files.number,
        **content,
        "uses_target_labels": config.uses_target_labels or any_labels(ran_on["parents"]),
        "manifest_hash": ran_on["manifest_hash"],
        "parents": ran_on["parents"],
        "code": {key: ran_on[key] for key in ("commit", "diff_hash")},
    }
    if superseded(trial, files):
        return False
    write_json(files.metrics, whole)
    return publish(files.metrics, trial.metrics)


def any_labels(parents: Mapping[str, Record]) -> bool:
    """Whether target labels were used in any parent, or above it."""
    return any(record["uses_target_labels"] for record in parents.values())


def score_fields(evaluation: Evaluation, classes: tuple[str, ...]) -> dict[str, Any]:
    """Scores as metrics.json and further evaluations hold them, as fractions."""
    scores = evaluation.scores(classes)
    return {
        "miou": scores.miou,
        "iou": {name: scores.iou[name] for name in CLASSES},
        "pixel_accuracy": scores.pixel_accuracy,
        "classes": list(classes),
        "validation_skipped": evaluation.skipped,
    }


def note_fields(notes: Notes) -> dict[str, Any]:
    """Files that could not be read while training, and how many labels were resized to their image."""
    return {"training_skipped": sorted(notes.skipped), "labels_resized": len(notes.resized)}


def _log_bad_images(content: Mapping[str, Any]) -> None:
    training, validation = content["training_skipped"], content.get("validation_skipped", ())
    if training or validation or content["labels_resized"]:
        logger.warning(
            "images skipped: %d of training, %d of validation; labels resized: %d",
            len(training),
            len(validation),
            content["labels_resized"],
        )


def _training_fields(config: TrialConfig, images: TrialImages) -> dict[str, Any]:
    subset = config.target.subset
    return {
        "source_images": len(images.all_source),
        "target_images": images.target_count,
        "labelled_images": len(images.labelled),
        "steps": config.steps,
        "seed": config.seed,
        "subset_seed": None if subset is None else subset.seed,
    }
