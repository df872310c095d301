"""A sweep whose trials learn from what other trials made, with real processes and kill -9 in between."""

from pathlib import Path

import pytest
from domains import write_cityscapes
from small_sweep import SmallSweep, kill, wait_until

from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import digest

pytestmark = pytest.mark.processes

IMAGES = 60

NARROW = {"name": "cyclegan", "channels": 4, "blocks": 1, "discriminator_channels": 4}
STAGES = {
    "translator": {
        "task": "train",
        "base": {
            "method": NARROW,
            "target": {"subset": {"size": 3}},
            "transforms": {domain: {"crop": [32, 32]} for domain in ("source", "target")},
        },
    },
    "cyclegta": {"task": "translate", "from": {"network": "translator"}},
    "pretrain": {
        "task": "train",
        "from": {"cyclegta": "cyclegta"},
        "base": {"method": {"name": "source_only"}, "source": [{"name": "render"}, {"output": "cyclegta"}]},
    },
    "labels": {
        "task": "pseudo_label",
        "from": {"network": "pretrain"},
        "base": {"evaluation": {"size": [256, 128], "protocol": "multi_scale"}},  # slow
    },
    "rectified": {
        "task": "train",
        "from": {"labels": "labels", "init_from": "pretrain"},
        "base": {"method": {"name": "pseudo_label", "class_balance": {"small_class_pixels": 100}}},
    },
}


def of(sweep: SmallSweep, stage: str) -> TrialFiles:
    (files,) = [files for files in sweep.trials() if files.root.name.startswith(f"{stage}-")]
    return files


def written(sweep: SmallSweep, attempt: int) -> dict[str, int]:
    """Label file -> inode, of one attempt."""
    folders = sweep.folder.glob(f"runs/quick/labels-*/attempts/{attempt}/labels")
    return {path.name: path.stat().st_ino for folder in folders for path in folder.rglob("[!.]*.png")}


def test_what_stages_make_is_learnt_whoever_kills_the_writer_of_labels(tmp_path: Path) -> None:
    sweep = SmallSweep(tmp_path, {}, 2, stages=STAGES, retry=2)
    write_cityscapes(tmp_path / "data/camera", IMAGES, 3)
    launcher = sweep.start("sweep", "quick")
    wait_until(lambda: len(written(sweep, 1)) > 3 or launcher.poll() is not None)
    for pid in sweep.processes("worker"):
        kill(pid)
    code, output = sweep.finish(launcher)
    assert code == 0, output
    results = {stage: read_json(of(sweep, stage).metrics) for stage in STAGES}

    translator = of(sweep, "translator").attempt(1)
    assert (
        len(read_json(translator.environment)["target_images"]) == results["translator"]["target_images"] == 3
    )
    made = results["cyclegta"]["outputs"]["images"]
    assert results["pretrain"]["parents"]["cyclegta"]["sha256"] == made["sha256"]
    assert (results["pretrain"]["source_images"], results["pretrain"]["target_images"]) == (12, 0)

    first, second = written(sweep, 1), written(sweep, 2)
    assert 3 < len(first) < len(second) == IMAGES and first.items() <= second.items()
    labels = of(sweep, "labels")
    assert read_json(labels.attempt(1).outcome)["cause"] == "killed"
    record = results["labels"]["outputs"]["labels"]
    assert record == {"path": "attempts/2/labels", "sha256": digest(labels.root / "attempts/2/labels")}
    assert (results["labels"]["images"], results["labels"]["uses_target_labels"]) == (IMAGES, False)

    learnt = results["rectified"]
    assert learnt["parents"]["labels"]["sha256"] == record["sha256"]
    assert (learnt["target_images"], learnt["source_images"], learnt["labelled_images"]) == (IMAGES, 0, 0)
    assert learnt["uses_target_labels"] is False
    rows = read_json(tmp_path / "runs/quick/leaderboard.json")["tables"][0]["rows"]
    sizes = {row["axes"]["stage"]: (row["size"], row["own_size"]) for row in rows}
    assert sizes == {"pretrain": (3, None), "rectified": ("all", "all")}  # 3: its source's maker opened them
