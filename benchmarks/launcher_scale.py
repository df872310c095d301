"""How long `segda status`, `segda sweep --dry-run`, the leaderboard and submitting take on large sweeps.

    PYTHONPATH=tools python benchmarks/launcher_scale.py [--trials 100 1000 10000] [--repeat 3] [--keep DIR]

Writes a sweep whose trials are finished (8 of 10), failed (1) and never started (1) by hand, as the launcher
and the workers would have left them, and runs the real commands on it. Of several runs the fastest counts,
since what else the machine does only ever adds; processor time stands beside it for the same reason. `submit`
is run once: the trials never started become arrays of held jobs of a private Slurm.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from private_slurm.up import missing_programs, up

from launcher.launching.manifest import read_manifests
from launcher.sweep import expand, load_sweep
from launcher.trial import Trial
from launcher.trials.outcome import Outcome, Status, write_outcome
from launcher.trials.prepare import trial_text
from segda_core.checkout import current_commit
from segda_core.config import TaskConfig, TrialConfig
from segda_core.trials.layout import TrialFiles

NAME = "large"
COMMANDS = {
    "status": ["status", NAME],
    "dry-run": ["sweep", NAME, "--dry-run"],
    "leaderboard": ["leaderboard", NAME],
}
SUBMIT = ["sweep", NAME, "--executor", "slurm", "--no-canary", "--set=executor.sbatch={hold: true}"]
COMMIT = current_commit()
RESULTS = Path(__file__).parent / "results"
LIMITS_S = {"status": 3.0, "dry-run": 5.0}
"""Wall-clock seconds at 10,000 trials."""

METHODS = ({"name": "supervised"}, {"name": "joint"}, {"name": "adaptsegnet"}, {"name": "ema_classmix"})
SIZES = (2, 4, 6, 8, 10)
PROFILE: dict[str, Any] = {
    "name": "tiny",
    "domains": {
        "render": {"layout": "gta5", "root": "data/render"},
        "camera": {"layout": "cityscapes", "root": "data/camera"},
    },
    "trial": {
        "source": [{"name": "render"}],
        "target": {"name": "camera"},
        "model": {"name": "tiny", "width": 8},
        "evaluation": {"size": [64, 32]},
    },
}


def main() -> None:
    """Print a table; exit code 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    words = parser.parse_args()
    rows = []
    print(f"{'command':<12}{'trials':>7}{'wall s':>9}{'cpu s':>9}{'limit s':>9}", flush=True)
    kept = True
    for count in words.trials:
        with tempfile.TemporaryDirectory(prefix="segda-scale-") as temporary:
            folder = Path(temporary) if words.keep is None else words.keep / str(count)
            write_sweep(folder, count)
            for command, arguments in COMMANDS.items():
                wall, cpu = min(measure(folder, arguments) for _ in range(words.repeat))
                limit = LIMITS_S.get(command) if count == 10_000 else None
                kept = kept and (limit is None or wall < limit)
                print(f"{command:<12}{count:>7}{wall:>9.2f}{cpu:>9.2f}{limit or '':>9}", flush=True)
                rows.append({"command": command, "trials": count, "wall_seconds": wall, "cpu_seconds": cpu})
            if missing_programs():
                print("submit: Slurm is not installed", flush=True)
                continue
            wall, cpu = measure_submission(folder, Path(temporary) / "slurm")
            print(f"{'submit':<12}{count // 10:>7}{wall:>9.2f}{cpu:>9.2f}", flush=True)
            rows.append(
                {"command": "submit", "trials": count // 10, "wall_seconds": wall, "cpu_seconds": cpu}
            )
    words.results.mkdir(exist_ok=True)
    write(words.results / "launcher_scale.json", {"rows": rows})
    sys.exit(not kept)


def measure_submission(folder: Path, slurm: Path) -> tuple[float, float]:
    """Of the trials never started, to a Slurm that is there for this alone."""
    cluster = up(slurm)
    try:
        return measure(folder, SUBMIT, **cluster.environment)
    finally:
        cluster.down()


def measure(folder: Path, arguments: Sequence[str], **environment: str) -> tuple[float, float]:
    """Wall-clock and processor seconds of one command, its children included."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "launcher.cli", *arguments],
        cwd=folder,
        env={
            **os.environ,
            **environment,
            "COLUMNS": "160",
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        },
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_sweep(folder: Path, count: int) -> None:
    """Images, profile, sweep file and the directory of every trial; an earlier one is left as it is."""
    if (folder / "runs").exists():
        return
    write_images(folder / "data")
    seeds = list(range(count // (len(METHODS) * len(SIZES))))
    grid = {"method": list(METHODS), "target.subset.size": list(SIZES), "seed": seeds}
    base = {"steps": 400, "log_every": 50}
    write_yaml(folder / "sweeps" / "data" / "tiny.yaml", PROFILE)
    write_yaml(folder / "sweeps" / f"{NAME}.yaml", {"name": NAME, "data": "tiny", "base": base, "grid": grid})
    here = Path.cwd()
    os.chdir(folder)
    try:
        trials = expand(load_sweep(NAME)).trials
        images = read_manifests(trials)
    finally:
        os.chdir(here)
    texts = config_texts(trials)
    for number, trial in enumerate(trials):
        files = trial.files(folder / "runs")
        files.root.mkdir(parents=True)
        files.config.write_text(next(texts))
        files.trial.write_text(trial_text(trial))
        if number % 10 != 9:
            write_attempt(files, trial.config, images[trial.id].hash, failed=number % 10 == 8)
    plan = {"schema": 1, "data": {"tiny": [trial.id for trial in trials]}}
    (folder / "runs" / NAME / "plan.json").write_text(json.dumps(plan, indent=1))


def config_texts(trials: list[Trial]) -> Iterator[str]:
    """config.yaml of each trial; those that differ in the seed alone are printed once."""
    known: dict[str, str] = {}
    for trial in trials:
        point = json.dumps({**trial.point, "seed": None}, sort_keys=True)
        if point not in known:
            known[point] = yaml.safe_dump(trial.config.model_dump(mode="json"), sort_keys=False)
        text = known[point]
        line = next(line for line in text.splitlines() if line.startswith("seed: "))
        yield text.replace(f"\n{line}\n", f"\nseed: {trial.point['seed']}\n")


def write_attempt(files: TrialFiles, config: TaskConfig, images: str, failed: bool) -> None:
    """What one execution leaves, weights and pictures aside."""
    assert isinstance(config, TrialConfig)
    attempt = files.attempt(1)
    attempt.root.mkdir(parents=True)
    submission = {"executor": "local", "manifest_hash": images, "fresh": False, "snapshot": "0" * 16}
    beat = {"phase": "train", "step": 200, "steps": config.steps, "images_per_second": 50.0, "time": 1.7e9}
    rows = [
        {"step": step, "losses": {"source": 1.0}, "images_per_second": 50.0, "time": 1.7e9 + step}
        for step in range(50, 250, 50)
    ]
    write(attempt.submission, {**submission, "parents": {}, "host": "h", "pid": 1, "time": 1.7e9})
    failure = Outcome(Status.FAILED, "loss is NaN", "nan", step=200)
    write_outcome(attempt, failure if failed else Outcome(Status.DONE, "", step=200))
    write(attempt.heartbeat, beat)
    attempt.history.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    if not failed:
        write(attempt.metrics, metrics(files.root.name, config, images))
        os.link(attempt.metrics, files.metrics)


def metrics(name: str, config: TrialConfig, images: str) -> dict[str, Any]:
    """Of the length and with the keys of a real one."""
    declared = list(config.evaluation.classes)
    miou = 0.2 + (config.seed % 97) / 1000
    quality = dict.fromkeys(("ent", "mi", "cons", "prior", "mmd", "mmd_class", "pad", "head", "src"), 0.5)
    size = list(config.evaluation.size)
    return {
        "schema": 1,
        "trial": name,
        "task": "train",
        "attempt": 1,
        "outputs": {"segmenter": {"path": "attempts/1/checkpoints/final.pt", "sha256": "0" * 64}},
        "miou": miou,
        "iou": dict.fromkeys(declared, miou),
        "pixel_accuracy": 0.75,
        "classes": declared,
        "protocol": {
            "name": config.evaluation.protocol,
            "data": config.data.name,
            "version": 1,
            "split_manifest": "0" * 64,
            "classes": declared,
            "label_size": size,
            "input_sizes": [size],
            "mirror": False,
            "fusion": "main",
            "align_corners": False,
            "network": "student",
        },
        "uses_target_labels": config.uses_target_labels,
        "source_images": 10,
        "target_images": 10,
        "labelled_images": 10,
        "steps": config.steps,
        "seed": config.seed,
        "subset_seed": 0,
        "images_per_second": 40.0,
        "wall_seconds": 120.0,
        "gpu_hours": 0.0,
        "quality": {"metrics": quality, "on": {"target_images": 10, "target_list": "0" * 64, "seed": 0}},
        "manifest_hash": images,
        "parents": {},
        "code": {"commit": COMMIT, "diff_hash": None},
    }


def write_images(root: Path) -> None:
    """Ten images of each domain, two for validation."""
    for index in range(10):
        picture(root / "render" / "images" / f"{index:05}.png", "RGB")
        picture(root / "render" / "labels" / f"{index:05}.png", "L")
    for index in range(12):
        split, stem = ("train" if index < 10 else "val"), f"aachen_{index:06}_000019"
        for folder, kind, mode in (("leftImg8bit", "leftImg8bit", "RGB"), ("gtFine", "gtFine_labelIds", "L")):
            picture(root / "camera" / folder / split / "aachen" / f"{stem}_{kind}.png", mode)


def picture(path: Path, mode: str) -> None:
    """An image of one colour; as labels, road."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (64, 32), 7 if mode == "L" else (90, 90, 90)).save(path)


def write(path: Path, content: dict[str, Any]) -> None:
    """JSON as workers indent it."""
    path.write_text(json.dumps(content, indent=1) + "\n")


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    """A sweep or profile file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))


if __name__ == "__main__":
    main()
