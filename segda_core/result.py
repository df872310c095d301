"""The result of a trial: final weights, evaluation files and metrics.json, after training has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segda_core.classes import CLASSES
from segda_core.config import TrialConfig
from segda_core.data.manifest import TrialImages
from segda_core.evaluation import Evaluation, resolved_protocol
from segda_core.heartbeat import superseded
from segda_core.layout import AttemptFiles, TrialFiles, publish, read_json, write_json
from segda_core.parents import Record
from segda_core.pictures import save_preview
from segda_core.predictor import Predictor
from segda_core.weights import save_final

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


@dataclass(frozen=True)
class Findings:
    """What was found out about the trained segmenter, and what it took."""

    evaluation: Evaluation
    quality: dict[str, Any] | None
    """Label-free measures; None where the trial measures none."""
    effort: Effort


def write_result(
    config: TrialConfig,
    trial: TrialFiles,
    files: AttemptFiles,
    images: TrialImages,
    predictor: Predictor,
    findings: Findings,
) -> bool:
    """Write everything below the attempt, publish metrics.json; False where that is no longer its right.

    The trial has a result already, or a higher attempt exists: a rerun makes it before it removes a result.
    """
    final = files.checkpoints / "final.pt"
    digest = save_final(final, predictor.segmenter, config, trial.root.name, config.steps)
    evaluation, effort = findings.evaluation, findings.effort
    evaluation.save(files.confusion)
    save_preview(files.preview, predictor, images.validation)
    output = {"path": str(final.relative_to(trial.root)), "sha256": digest}
    ran_on = read_json(files.environment)
    assert ran_on is not None
    content = {
        "schema": SCHEMA,
        "trial": trial.root.name,
        "task": config.task,
        "attempt": files.number,
        "outputs": {"segmenter": output},
        **score_fields(evaluation, config.evaluation.classes),
        "protocol": resolved_protocol(
            config.evaluation.protocol,
            config.evaluation,
            predictor,
            images.validation,
            (config.data.name, config.data.version),
        ),
        **_training_fields(config, images),
        "uses_target_labels": config.uses_target_labels or any_labels(ran_on["parents"]),
        "images_per_second": round(effort.images_per_second, 3),
        "wall_seconds": round(effort.wall_seconds, 1),
        "gpu_hours": round(effort.gpu_hours, 4),
        "quality": findings.quality,
        "manifest_hash": ran_on["manifest_hash"],
        "parents": ran_on["parents"],
        "code": {key: ran_on[key] for key in ("commit", "diff_hash")},
    }
    if superseded(trial, files):
        return False
    write_json(files.metrics, content)
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
    }


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
