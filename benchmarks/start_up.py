"""How long a trial takes from its launch to its first step, and which share of a sweep is spent in steps.

    python benchmarks/start_up.py [--sweep smoke]                  # runs the sweep anew and reads it
    python benchmarks/start_up.py --sweep target_size --runs runs  # reads what was run before

Reads what the trials left: when they were launched, their steps' speed and when they ended. The share of the
whole counts every second of every launch of the sweep, from its first trial's start to its last one's end,
as often as trials ran side by side.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from launcher.trials.prepare import read_config
from segda_core.config import TrialConfig
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles, TrialFiles

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Times:
    """Of one trial that was finished by its first attempt; in seconds."""

    method: str
    launch: str
    """Which call of the sweep started it."""
    launched: float
    """Unix time, as `ended`."""
    ended: float
    before: float
    """From the launch to the first step."""
    steps: float

    @property
    def after(self) -> float:
        """From the last step on: evaluating, measuring quality, saving and leaving."""
        return self.ended - self.launched - self.before - self.steps


def main() -> None:
    """Print a table by method and the share of the whole; write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweep", default="smoke")
    parser.add_argument("--runs", type=Path, help="folder of finished results; else the sweep is run anew")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    words = parser.parse_args()
    if words.runs is None:
        with tempfile.TemporaryDirectory(prefix="segda-start-up-") as folder:
            command = ["sweep", words.sweep, "--runs", folder, "--executor", "local"]
            subprocess.run([sys.executable, "-m", "launcher.cli", *command], check=True, stdout=sys.stderr)
            trials = list(read_trials(Path(folder) / words.sweep))
    else:
        trials = list(read_trials(words.runs / words.sweep))
    if not trials:
        sys.exit(f"{words.sweep}: no trial that trained and was finished by its first attempt")
    show(trials)
    result = {"sweep": words.sweep, "trials": [asdict(trial) for trial in trials]}
    words.results.mkdir(exist_ok=True)
    (words.results / "start_up.json").write_text(json.dumps(result, indent=1) + "\n")


def read_trials(sweep: Path) -> Iterator[Times]:
    """The trials that trained; one that was interrupted would count its pause."""
    for metrics_path in sorted(sweep.glob("*/metrics.json")):
        files = TrialFiles(metrics_path.parent)
        config, metrics = read_config(files), read_json(files.metrics)
        assert metrics is not None
        if isinstance(config, TrialConfig) and metrics["attempt"] == 1:
            yield times_of(config, metrics["images_per_second"], files.attempt(1))


def times_of(config: TrialConfig, images_per_second: float, files: AttemptFiles) -> Times:
    """Times of an attempt that took all the steps."""
    submission, outcome = read_json(files.submission), read_json(files.outcome)
    assert submission is not None
    assert outcome is not None
    with files.history.open() as lines:
        first = json.loads(next(lines))
    began = first["time"] - first["step"] * config.images_per_step / first["images_per_second"]
    return Times(
        method=config.method.name,
        launch=submission["launch_id"],
        launched=submission["time"],
        ended=outcome["time"],
        before=began - submission["time"],
        steps=config.steps * config.images_per_step / images_per_second,
    )


def show(trials: Sequence[Times]) -> None:
    """Medians by method, then the whole."""
    by_method: dict[str, list[Times]] = defaultdict(list)
    for trial in trials:
        by_method[trial.method].append(trial)
    print(f"{'method':<24}{'trials':>6}{'to step 1, s':>14}{'steps, s':>10}{'after, s':>10}{'steps, %':>10}")
    for method, those in by_method.items():
        before, steps, after = (
            median(getattr(trial, part) for trial in those) for part in ("before", "steps", "after")
        )
        share = 100 * steps / (before + steps + after)
        print(f"{method:<24}{len(those):>6}{before:>14.1f}{steps:>10.1f}{after:>10.1f}{share:>10.0f}")
    slots = max(sum(other.launched <= trial.launched < other.ended for other in trials) for trial in trials)
    wall = wall_seconds(trials)
    share = 100 * sum(trial.steps for trial in trials) / (wall * slots)
    print(f"whole: {len(trials)} trials, {slots} at once, {wall:.0f} s, of which steps {share:.0f} %")


def wall_seconds(trials: Sequence[Times]) -> float:
    """Of all launches; what passed between them is not counted."""
    launches = defaultdict(list)
    for trial in trials:
        launches[trial.launch].append(trial)
    return sum(
        max(trial.ended for trial in those) - min(trial.launched for trial in those)
        for those in launches.values()
    )


if __name__ == "__main__":
    main()
