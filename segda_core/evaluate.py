"""Scores a trained segmenter again: `python -m segda_core.evaluate TRIAL|CHECKPOINT --data P --protocol P`.

Of a trial the published final weights are taken, and the result is kept as evaluations/PRESET-DATA-HEX8.json.
"""

import argparse
import time
from pathlib import Path
from typing import Any, get_args

import torch
from rich.table import Table

from segda_core.classes import CLASSES
from segda_core.command import tell, usual_errors
from segda_core.config import (
    DataConfig,
    EvaluationConfig,
    Profile,
    ProtocolName,
    TargetConfig,
    TrialConfig,
)
from segda_core.data.index import ImageRecord, scan
from segda_core.data.manifest import usable
from segda_core.distributed import World
from segda_core.errors import ConfigError, load_yaml, parse
from segda_core.files import read_json
from segda_core.inference.evaluation import build_predictor, evaluate, protocol_digest, resolved_protocol
from segda_core.process import end_on_signals
from segda_core.trials.layout import TrialFiles
from segda_core.trials.result import SCHEMA, score_fields
from segda_core.trials.weights import load_trained

PROTOCOL_NAMES: tuple[ProtocolName, ...] = get_args(ProtocolName)


class ValidationData:
    """On what to score: a data profile's validation images, its classes and input size."""

    def __init__(self, data: DataConfig, domain: str, evaluation: EvaluationConfig) -> None:
        self.data = data
        self.evaluation = evaluation
        self.domain = data.domains[domain]

    def records(self) -> list[ImageRecord]:
        """The validation images."""
        return usable(scan(self.domain, "val"), self.domain)[0]


def data_of_trial(config: TrialConfig) -> ValidationData:
    """What the trial itself was scored on."""
    return ValidationData(config.data, config.target.name, config.evaluation)


def data_of_profile(path: Path) -> ValidationData:
    """The target domain of a data profile's file; `ConfigError` where the profile names none."""
    profile = parse(Profile, load_yaml(path), str(path))
    target = parse(TargetConfig, profile.trial.get("target", {}), f"{path}: trial.target")
    evaluation = parse(EvaluationConfig, profile.trial.get("evaluation", {}), f"{path}: trial.evaluation")
    if target.name not in profile.domains:
        known = ", ".join(profile.domains) or "none"
        raise ConfigError([f"{path}: trial.target.name: no domain {target.name!r}; allowed: {known}"])
    return ValidationData(profile.data, target.name, evaluation)


def weights_of(path: Path) -> Path:
    """The checkpoint itself, or a trial's published final weights."""
    if path.is_file():
        return path
    file = TrialFiles(path).metrics
    try:
        metrics = read_json(file)
    except ValueError as error:
        raise ConfigError([f"{file}: cannot be read: {error}"]) from error
    if metrics is None:
        raise ConfigError([f"{path}: neither a checkpoint nor the folder of a finished trial"])
    if "segmenter" not in metrics.get("outputs", {}):
        raise ConfigError([f"{path}: this trial trained no segmenter"])
    return path / str(metrics["outputs"]["segmenter"]["path"])


def evaluate_checkpoint(
    checkpoint: Path, profile: Path | None, protocol: ProtocolName | None
) -> dict[str, Any]:
    """Scores of one checkpoint; without a profile or a protocol, those of its own trial."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trained = load_trained(checkpoint, device)
    validation = data_of_profile(profile) if profile else data_of_trial(trained.config)
    name = protocol or validation.evaluation.protocol
    network = trained.config.evaluation.network
    scoring = validation.evaluation.model_copy(update={"network": network})
    predictor = build_predictor(trained.segmenter, name, scoring)
    records = validation.records()
    data = (validation.data.name, validation.data.version)
    evaluation = evaluate(predictor, records, World(0, 1, device), workers=trained.config.workers)
    assert evaluation is not None
    return {
        "schema": SCHEMA,
        "trial": trained.trial,
        "step": trained.step,
        "checkpoint": str(checkpoint),
        **score_fields(evaluation, scoring.classes),
        "protocol": resolved_protocol(name, scoring, predictor, records, data),
        "time": time.time(),
    }


def default_output(path: Path, result: dict[str, Any]) -> Path | None:
    """Where a trial keeps the result; None for a checkpoint alone."""
    if path.is_file():
        return None
    protocol = result["protocol"]
    name = f"{protocol['name']}-{protocol['data']}-{protocol_digest(protocol)}.json"
    return TrialFiles(path).evaluations / name


def table(result: dict[str, Any]) -> Table:
    """Percentages by train id and class, then of all pixels and classes: SegmenTron's listing."""
    protocol = result["protocol"]
    shown = Table(
        "id", "class", "IoU %", title=f"{result['trial']} on {protocol['data']}, {protocol['name']}"
    )
    shown.columns[0].justify = shown.columns[2].justify = "right"
    for name in result["classes"]:
        shown.add_row(str(CLASSES.index(name)), name, f"{100 * result['iou'][name]:.2f}")
    shown.add_section()
    shown.add_row("", "pixAcc", f"{100 * result['pixel_accuracy']:.2f}")
    shown.add_row("", "mIoU", f"{100 * result['miou']:.2f}")
    return shown


def main() -> None:
    """Evaluate what the command line names; problems end with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m segda_core.evaluate", description=__doc__)
    parser.add_argument("path", type=Path, metavar="TRIAL_DIR|CHECKPOINT")
    parser.add_argument("--data", type=Path, metavar="PROFILE", help="data profile; default: the trial's own")
    parser.add_argument("--protocol", choices=PROTOCOL_NAMES, help="default: the profile's own")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the result here as JSON")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with usual_errors():
        result = evaluate_checkpoint(weights_of(arguments.path), arguments.data, arguments.protocol)
        output = arguments.out or default_output(arguments.path, result)
        tell(result, output, None if arguments.json else table(result))


if __name__ == "__main__":
    end_on_signals()
    main()
