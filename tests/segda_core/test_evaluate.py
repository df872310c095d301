import json
import os
import sys

import numpy as np
import pytest
import yaml
from PIL import Image
from trials import small_config, write_trial

from segda_core import checkpoint, evaluate, predict
from segda_core.classes import CLASSES, PALETTE
from segda_core.data.labels import read_image
from segda_core.files import read_json
from segda_core.inference.pictures import colourise, overlay
from segda_core.process import StopRequest
from segda_core.trials.attempt import run_attempt
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.layout import TrialFiles


@pytest.fixture(scope="module")
def trial(root, tmp_path_factory):
    files = write_trial(tmp_path_factory.mktemp("runs") / "trial", small_config(root, steps=3))
    stop = StopRequest()
    run_attempt(files, files.attempt(1), stop, Heartbeat(files, files.attempt(1), stop))
    return files


@pytest.fixture
def command(monkeypatch):
    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        module.main()

    return run


def test_a_trial_evaluated_again_gives_its_own_numbers(trial, command, capsys):
    command(evaluate, trial.root, "--json")

    result, metrics = json.loads(capsys.readouterr().out), read_json(trial.metrics)
    for field in ("miou", "iou", "pixel_accuracy", "protocol", "classes"):
        assert result[field] == metrics[field]
    (stored,) = trial.evaluations.iterdir()
    assert stored.name.startswith("single-small-")
    assert read_json(stored) == result


def test_another_protocol_is_kept_beside_it(trial, command, capsys):
    command(evaluate, trial.root, "--protocol", "multi_scale")
    listing = capsys.readouterr().out
    (stored,) = trial.evaluations.glob("multi_scale-small-*.json")
    result = read_json(stored)
    assert result["protocol"]["input_sizes"] == [[48, 24], [64, 32], [80, 40]]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in listing.splitlines() if "│" in line]
    percent = {name: f"{100 * value:.2f}" for name, value in result["iou"].items() if value is not None}
    assert rows == [
        *([str(CLASSES.index(name)), name, percent[name]] for name in result["classes"]),
        ["", "pixAcc", f"{100 * result['pixel_accuracy']:.2f}"],
        ["", "mIoU", f"{100 * result['miou']:.2f}"],
    ]


def test_a_checkpoint_alone_on_another_profile(trial, root, command, tmp_path):
    final = tmp_path / "somewhere" / "weights.pt"
    final.parent.mkdir()
    final.write_bytes((trial.attempt(1).checkpoints / "final.pt").read_bytes())
    domain = {"layout": "cityscapes", "root": str(root / "target")}
    profile = {
        "name": "other",
        "version": 3,
        "domains": {"city": domain},
        "trial": {"target": {"name": "city"}, "evaluation": {"size": [32, 16], "classes": ["road", "car"]}},
    }
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(profile))

    command(evaluate, final, "--data", tmp_path / "other.yaml", "--out", tmp_path / "result.json")

    result = read_json(tmp_path / "result.json")
    assert result["classes"] == ["road", "car"]
    assert result["iou"]["sky"] is None
    assert (result["protocol"]["data"], result["protocol"]["version"]) == ("other", 3)
    assert result["protocol"]["input_sizes"] == [[32, 16]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{name: o, domains: {}}", "trial.target: name: missing"),
        ("{name: o, domains: {}, trial: {target: {name: city}}}", "trial.evaluation: size: missing"),
        ("{name: o, domains: {}, trail: {}}", "trail: unknown key"),
        (
            "{name: o, domains: {}, trial: {target: {name: city}, evaluation: {size: [8, 8]}}}",
            "no domain 'city'",
        ),
    ],
)
def test_a_profile_that_does_not_say_what_to_score_on_is_refused(
    trial, command, capsys, tmp_path, content, said
):
    (tmp_path / "other.yaml").write_text(content)
    with pytest.raises(SystemExit) as ended:
        command(evaluate, trial.root, "--data", tmp_path / "other.yaml")
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_an_unfinished_trial_and_a_damaged_checkpoint_are_refused(trial, command, capsys, tmp_path):
    damaged = tmp_path / "weights.pt"
    damaged.write_bytes((trial.attempt(1).checkpoints / "final.pt").read_bytes()[:-10])
    broken, without = TrialFiles(tmp_path / "broken"), TrialFiles(tmp_path / "cyclegan")
    for files, text in ((broken, "{"), (without, '{"outputs": {}}')):
        files.root.mkdir()
        files.metrics.write_text(text)
    for path, said in (
        (tmp_path, "neither a checkpoint"),
        (damaged, "checksum"),
        (broken.root, f"{broken.metrics}: cannot be read"),
        (without.root, "trained no segmenter"),
    ):
        with pytest.raises(SystemExit) as ended:
            command(evaluate, path)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_predict_writes_three_pictures_at_the_images_own_size(trial, root, command, tmp_path):
    image = root / "source" / "images" / "00001.png"
    command(predict, trial.attempt(1).checkpoints / "final.pt", image, "--out", tmp_path / "out")

    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "00001_color.png",
        "00001_overlay.png",
        "00001_trainIds.png",
    }
    with Image.open(tmp_path / "out" / "00001_trainIds.png") as picture:
        assert (picture.mode, picture.size) == ("L", (64, 32))
        train_ids = np.asarray(picture)
    assert train_ids.max() < 19
    colours = read_image(tmp_path / "out" / "00001_color.png")
    assert np.array_equal(colours, np.array(PALETTE)[train_ids])


def test_predict_is_under_the_trials_own_protocol_unless_told(trial, root, command, tmp_path):
    state = checkpoint.load(trial.attempt(1).checkpoints / "final.pt")
    state["config"]["evaluation"]["protocol"] = "multi_scale"
    checkpoint.save(tmp_path / "weights.pt", state)
    image = root / "source" / "images" / "00001.png"

    def predicted(*options):
        command(predict, tmp_path / "weights.pt", image, "--out", tmp_path / "out", *options)
        with Image.open(tmp_path / "out" / "00001_trainIds.png") as picture:
            return np.asarray(picture)

    assert np.array_equal(predicted(), predicted("--protocol", "multi_scale"))
    assert not np.array_equal(predicted(), predicted("--protocol", "single"))


def test_predict_takes_folders_and_refuses_names_that_collide(trial, root, command, capsys, tmp_path):
    final = trial.attempt(1).checkpoints / "final.pt"
    images = root / "source" / "images"
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        command(predict, final, tmp_path / "empty", "--out", tmp_path / "out")
    assert "no images" in capsys.readouterr().err and not (tmp_path / "out").exists()
    command(predict, trial.root, images, "--out", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3 * 12
    with pytest.raises(SystemExit):
        command(predict, final, images, images / "00002.png", "--out", tmp_path / "out")
    assert "overwrite each other" in capsys.readouterr().err


def test_a_file_in_the_way_is_said_and_ends_with_2(trial, root, command, capsys, tmp_path):
    final, image = trial.attempt(1).checkpoints / "final.pt", root / "source" / "images" / "00001.png"
    (tmp_path / "out").write_text("")
    for words, said in [
        ((predict, final, image, "--out", tmp_path / "out"), "out cannot be a folder: File exists"),
        ((evaluate, final, "--out", tmp_path / "out" / "result.json"), "File exists"),
    ]:
        with pytest.raises(SystemExit) as ended:
            command(*words)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_a_reader_who_has_seen_enough_is_no_error(trial, command, capsys, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        command(evaluate, trial.attempt(1).checkpoints / "final.pt", "--json")
    assert capsys.readouterr().err == ""


def test_colours_and_overlay_by_hand():
    train_ids = np.array([[0, 255]], dtype=np.uint8)
    image = np.array([[[100, 100, 100], [7, 8, 9]]], dtype=np.uint8)
    assert colourise(train_ids).tolist() == [[[128, 64, 128], [0, 0, 0]]]
    assert overlay(image, train_ids).tolist() == [[[114, 82, 114], [7, 8, 9]]]
