import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console

from segda_core.classes import CLASSES, LABEL_IDS
from segda_core.config import Profile, TrialConfig
from segda_core.data.check import check_profile, render
from segda_core.errors import load_yaml, parse

PROFILES = Path(__file__).parents[3] / "sweeps/data"


def write_profile(root: Path, on_bad: str = "fail", classes: tuple[str, ...] = CLASSES) -> Path:
    domains = {
        "game": {"layout": "gta5", "root": str(root / "game"), "on_bad": on_bad},
        "camera": {"layout": "cityscapes", "root": str(root / "camera"), "on_bad": on_bad},
    }
    trial = {
        "source": [{"name": "game", "holdout": 0.25}],
        "target": {"name": "camera"},
        "model": {"name": "tiny"},
        "evaluation": {"size": [64, 32], "classes": list(classes)},
    }
    path = root / "pair.yaml"
    path.write_text(yaml.safe_dump({"name": "pair", "domains": domains, "trial": trial}))
    return path


def test_counts_sizes_and_shares(pair):
    report = check_profile(write_profile(pair))
    assert report.problems == report.skipped == report.notes == []
    assert [(split.name, split.images, split.sizes, split.resized) for split in report.splits] == [
        ("game train", 9, {"64x32": 9}, 0),
        ("game held out", 3, {"64x32": 3}, 0),
        ("camera train", 10, {"64x32": 10}, 0),
        ("camera val", 4, {"64x32": 4}, 0),
    ]
    labels = []
    for path in sorted((pair / "camera/gtFine/val/lindau").iterdir()):
        with Image.open(path) as picture:
            labels.append(np.asarray(picture))
    stacked = np.stack(labels)
    validation = report.splits[3]
    for name, number in zip(CLASSES, LABEL_IDS, strict=True):
        assert validation.pixels[name] == (stacked == number).sum()
        assert validation.images_with[name] == (stacked == number).any(axis=(1, 2)).sum()
    assert sum(validation.share(name) for name in CLASSES) == pytest.approx(1)


def damage(root: Path) -> None:
    """One file of each kind that `check` must name."""
    (root / "game/labels/00001.png").unlink()
    Image.fromarray(np.zeros((32, 64, 3), dtype=np.uint8)).save(root / "game/labels/00002.png")
    whole = (root / "game/images/00003.png").read_bytes()
    (root / "game/images/00003.png").write_bytes(whole[:-60])
    shutil.copy(root / "game/images/00004.png", root / "game/images/00004.jpeg")
    Image.fromarray(np.full((16, 32), 7, dtype=np.uint8)).save(root / "game/labels/00005.png")


FAULTS = (
    "images/00001.png: no label",
    "labels/00002.png: label of mode RGB",
    "images/00003.png: cannot be read",
    "images/00004.png: same name as",
)


def test_every_fault_is_named(pair):
    damage(pair)
    report = check_profile(write_profile(pair))
    assert len(report.problems) == len(FAULTS)
    for fault in FAULTS:
        assert sum(fault in problem for problem in report.problems) == 1, fault
    assert [note.split("labels/")[1] for note in report.notes] == [
        "00005.png: label 32x16, image 64x32: training resizes the label"
    ]
    assert sum(split.resized for split in report.splits) == 1


def test_faults_that_may_be_skipped_are_listed_but_no_problem(pair):
    damage(pair)
    report = check_profile(write_profile(pair, on_bad="skip"))
    assert report.problems == []
    assert len(report.skipped) == len(FAULTS)


def test_unlabelled_target_training_images_are_a_note_and_others_problems(pair):
    unlabelled = sorted((pair / "camera/gtFine/train").rglob("*_labelIds.png"))[:3]
    for path in unlabelled:
        path.unlink()
    report = check_profile(write_profile(pair))
    assert report.problems == []
    assert report.notes == ["camera train: 3 of 10 images have no label, which only some methods need"]
    assert sum(report.splits[2].sizes.values()) == 10

    sorted((pair / "camera/gtFine/val").rglob("*_labelIds.png"))[0].unlink()
    (pair / "game/labels/00001.png").unlink()
    problems = check_profile(write_profile(pair)).problems
    assert [problem.rsplit(": ")[1] for problem in problems] == ["no label", "no label"]


def test_declared_class_without_truth_is_a_problem(pair):
    for path in (pair / "camera/gtFine/val/lindau").iterdir():
        with Image.open(path) as picture:
            label = np.array(picture)
        label[label == LABEL_IDS[CLASSES.index("train")]] = 0
        Image.fromarray(label).save(path)
    problems = check_profile(write_profile(pair, on_bad="skip")).problems
    assert problems == ["class 'train' is declared in evaluation.classes, but no validation label shows it"]
    fewer = tuple(name for name in CLASSES if name != "train")
    assert check_profile(write_profile(pair, classes=fewer)).problems == []


def test_a_step_of_the_ladder_beyond_the_pool_is_a_problem(pair):
    profile = write_profile(pair)
    profile.write_text(profile.read_text() + "ladder: [1, 400, all]\n")
    [problem] = check_profile(profile).problems
    assert problem == "ladder: 400 is more than the 10 training images of camera"


def test_missing_folders_are_problems_not_crashes(tmp_path):
    report = check_profile(write_profile(tmp_path))
    assert len(report.problems) == 3
    assert all("folder cannot be read" in problem for problem in report.problems)
    console = Console(width=100, record=True, quiet=True)
    console.print(render(report))


def test_rendered_table(pair):
    fewer = tuple(name for name in CLASSES if name != "train")
    console = Console(width=160, record=True, file=(pair / "out.txt").open("w"))
    with console.file:
        console.print(render(check_profile(write_profile(pair, classes=fewer))))
        text = console.export_text()
    assert "64x32: 10" in text
    assert "(train)" in text
    assert "0 problems" in text


@pytest.mark.processes
def test_command_exit_codes_and_json(pair):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "segda_core.data", "check", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    profile = write_profile(pair)
    good = run(str(profile), "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["splits"][2]["pixels"]["road"] > 0
    damage(pair)
    bad = run(str(profile))
    assert bad.returncode == 1
    assert "4 problems" in bad.stdout
    wrong = run(str(pair / "none.yaml"))
    assert wrong.returncode == 2
    assert "none.yaml: cannot be read" in wrong.stderr


@pytest.mark.parametrize(
    ("name", "ladder", "model", "size", "classes"),
    [
        ("streets", (10, 40, 160), "tiny", (256, 128), 19),
        ("gta5_cityscapes", (100, 500, 1000, 2975), "deeplabv2_resnet101", (1024, 512), 19),
        ("carla_camvid", (30, 100, 305), "lite0", (480, 360), 10),
    ],
)
def test_shipped_profiles(name, ladder, model, size, classes):
    path = PROFILES / f"{name}.yaml"
    profile = parse(Profile, load_yaml(path), str(path))
    data = profile.data.model_dump(mode="json")
    raw = {**profile.trial, "data": data, "method": {"name": "joint"}, "steps": 1}
    config = parse(TrialConfig, raw, str(path))
    assert (profile.name, profile.ladder) == (name, ladder)
    assert (config.model.name, config.evaluation.size) == (model, size)
    assert len(config.evaluation.classes) == classes


def test_real_images(monkeypatch):
    monkeypatch.chdir(PROFILES.parents[1])
    report = check_profile(PROFILES / "carla_camvid.yaml")
    if any("folder cannot be read" in problem for problem in report.problems):
        pytest.skip("no real images: link data/carla and data/camvid")
    assert report.problems == []
    assert [split.images for split in report.splits] == [459, 305, 171]
    assert [name for name in CLASSES if report.splits[2].images_with[name]] == [
        name for name in CLASSES if name in report.classes or name == "rider"
    ]
