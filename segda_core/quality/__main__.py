"""Measures label-free quality: `python -m segda_core.quality TRIAL|CHECKPOINT [--full]`.

Of a trial the result is kept as evaluations/quality.json, with --full as evaluations/quality-full.json.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from segda_core.command import tell, usual_errors
from segda_core.config import TrialConfig
from segda_core.data.index import ImageRecord
from segda_core.data.manifest import select_images
from segda_core.data.measured import select_measured
from segda_core.errors import ConfigError
from segda_core.evaluate import weights_of
from segda_core.files import BROKEN
from segda_core.models.base import Segmenter
from segda_core.process import end_on_signals
from segda_core.quality.catalogue import FULL_METRICS
from segda_core.quality.full import FULL_IMAGES, measure_full
from segda_core.quality.measure import measure
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import read_parents
from segda_core.trials.result import SCHEMA
from segda_core.trials.weights import load_counterpart, load_trained


def measure_checkpoint(path: Path, full: bool, count: int | None) -> dict[str, Any]:
    """Quality of a trial's final weights or of any checkpoint; `count` images of each domain."""
    checkpoint = weights_of(path)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trained = load_trained(checkpoint, device)
    config = trained.config
    torch.set_num_threads(config.threads)
    if count is None:
        count = FULL_IMAGES if full else config.quality.images or type(config.quality)().images
    made = made_images(TrialFiles(path), config) if path.is_dir() else []
    images = select_measured(config, count, made)
    counterpart = counterpart_of(checkpoint, trained.step, device)
    started = time.perf_counter()
    measured = measure_full if full else measure
    result = measured(trained.segmenter, counterpart, images, config)
    return {
        "schema": SCHEMA,
        "trial": trained.trial,
        "step": trained.step,
        "checkpoint": str(checkpoint),
        **result,
        "seconds": round(time.perf_counter() - started, 1),
        "time": time.time(),
    }


def made_images(trial: TrialFiles, config: TrialConfig) -> list[ImageRecord]:
    """Source images that the trial's parents made; `ConfigError` where its trial.json is broken."""
    try:
        parents = read_parents(trial)
    except BROKEN as error:
        remedy = "delete it, `segda sweep` writes it again"
        raise ConfigError([f"{trial.trial}: cannot be read: {error}; {remedy}"]) from error
    outputs = {
        parent.role: parent.open(record)
        for parent in parents
        if parent.role in config.source_outputs and (record := parent.record()) is not None
    }
    return select_images(config, outputs=outputs).made if outputs else []


def counterpart_of(checkpoint: Path, step: int, device: torch.device) -> Segmenter | None:
    """Final weights hold one network; the training state beside them, until it is pruned, its teacher too."""
    state = checkpoint.with_name(f"{step}.pt")
    return load_counterpart(state if state.exists() else checkpoint, device)


def table(result: dict[str, Any]) -> Table:
    """Each metric with its meaning."""
    on = result["on"]
    title = f"{result['trial']}: {on['target_images']} target and {on['source_images']} source images"
    shown = Table("metric", "value", "better", "meaning", title=title)
    shown.columns[1].justify = "right"
    for name, value in result["metrics"].items():
        metric = FULL_METRICS[name]
        number = "-" if value is None else f"{value:.4f}"
        shown.add_row(name, number, "high" if metric.sign > 0 else "low", metric.meaning)
    return shown


def main() -> None:
    """Measure what the command line names; problems end with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m segda_core.quality", description=__doc__)
    parser.add_argument("path", type=Path, metavar="TRIAL_DIR|CHECKPOINT")
    parser.add_argument("--full", action="store_true", help="every metric, on 500 images of each domain")
    parser.add_argument(
        "--images", type=int, metavar="N", help="of each domain; else 500, or the trial's own"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with usual_errors():
        result = measure_checkpoint(arguments.path, arguments.full, arguments.images)
        name = "quality-full.json" if arguments.full else "quality.json"
        kept = TrialFiles(arguments.path).evaluations / name if arguments.path.is_dir() else None
        tell(result, kept, None if arguments.json else table(result))


if __name__ == "__main__":
    end_on_signals()
    main()
