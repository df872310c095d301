"""The task `pseudo_label`: what it writes, and that neither interruptions nor other parents get mixed in."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from trials import SIZES, pseudo_label_config, run, small_config, write_domains, write_trial

from segda_core.data.subset import pick_subset
from segda_core.errors import DataError
from segda_core.files import read_json
from segda_core.process import Verdict
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import digest
from segda_core.trials.weights import load_trained

PARENT = "pretrain-1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Domains whose target has no training labels any more once the parent has used them."""
    folder = tmp_path_factory.mktemp("domains")
    write_domains(folder)
    return folder


@pytest.fixture(scope="module")
def pretrained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sweep = tmp_path_factory.mktemp("sweep")
    run(write_trial(sweep / PARENT, small_config(root, "supervised", steps=2)))
    shutil.rmtree(root / "target/gtFine/train")
    return sweep


@pytest.fixture
def sweep(pretrained: Path, tmp_path: Path) -> Path:
    shutil.copytree(pretrained, tmp_path / "sweep")
    return tmp_path / "sweep"


def labelling(sweep: Path, root: Path, attempts: int = 1, name: str = "labels", **changes: Any) -> TrialFiles:
    config = pseudo_label_config(root, **changes)
    return write_trial(sweep / name, config, attempts, network={"trial": PARENT, "output": "segmenter"})


def read(trial: TrialFiles) -> dict[str, np.ndarray]:
    """Image name -> its label, of the published output."""
    folder = trial.root / read_json(trial.metrics)["outputs"]["labels"]["path"]
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    ending = "_labelTrainIds.png"
    return {
        path.relative_to(folder).as_posix().removesuffix(ending): np.asarray(Image.open(path))
        for path in paths
    }


def mean_probabilities(sweep: Path, root: Path, name: str, size: tuple[int, int]) -> torch.Tensor:
    """Worked out anew: both heads fused, of the image and its mirror image; (19, height, width)."""
    network = load_trained(sweep / PARENT / "attempts/1/checkpoints/final.pt", torch.device("cpu")).segmenter
    pixels = np.asarray(Image.open(root / f"target/leftImg8bit/train/{name}_leftImg8bit.png"))
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    total = torch.zeros(19, *size[::-1])
    with torch.no_grad():
        for flipped in (False, True):
            main, aux = network(image.flip(-1) if flipped else image)
            scores = functional.interpolate((main + 0.5 * aux).softmax(1), size[::-1], mode="bilinear")[0]
            total += (scores.flip(-1) if flipped else scores) / 2
    return total


@pytest.fixture
def fused_and_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    from segda_core.config import PROTOCOLS, Protocol

    monkeypatch.setitem(PROTOCOLS, "fused", Protocol(fusion="main_and_aux", mirror=True))


@pytest.mark.parametrize(("size", "threshold"), [(None, None), ((32, 16), 0.06)])
@pytest.mark.usefixtures("fused_and_mirrored")
def test_labels_are_the_segmenters_predictions_for_the_subset(
    sweep: Path, root: Path, size: tuple[int, int] | None, threshold: float | None
) -> None:
    subset = {"size": 5, "seed": 1}
    evaluation = {**SIZES, "protocol": "fused"}
    trial = labelling(
        sweep, root, target={"name": "target", "subset": subset}, evaluation=evaluation,
        size=size, threshold=threshold,
    )  # fmt: skip
    run(trial)
    labels = read(trial)
    config = pseudo_label_config(root, target={"name": "target", "subset": subset})
    names = [f"{city}/{city}_{i:06}_000019" for i in range(8) for city in [("aachen", "bochum")[i % 2]]]
    assert config.target.subset is not None
    assert sorted(labels) == sorted(pick_subset(names, config.target.subset)) and len(labels) == 5
    ignored = 0
    for name, label in labels.items():
        confidence, classes = mean_probabilities(sweep, root, name, size or (64, 32)).max(0)
        wanted = classes.masked_fill(confidence < (threshold or 0), 255)
        assert label.dtype == np.uint8 and label.shape == wanted.shape
        assert (label == wanted.numpy()).mean() > 0.999  # but for rounding at a tie
        ignored += (label == 255).sum()
    assert (0 < ignored < 5 * 32 * 16) == (threshold is not None)
    metrics = read_json(trial.metrics)
    folder = trial.root / "attempts/1/labels"
    assert metrics["outputs"] == {"labels": {"path": "attempts/1/labels", "sha256": digest(folder)}}
    assert (metrics["task"], metrics["images"], metrics["target_images"]) == ("pseudo_label", 5, 5)
    assert metrics["uses_target_labels"] is True and "miou" not in metrics  # its parent used them


def inodes(trial: TrialFiles, number: int) -> dict[str, int]:
    folder = trial.attempt(number).root / "labels"
    return {
        path.relative_to(folder).as_posix(): path.stat().st_ino
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_later_attempt_takes_over_what_is_finished(sweep: Path, root: Path) -> None:
    whole = labelling(sweep, root, name="whole")
    run(whole)
    trial = labelling(sweep, root, attempts=1)
    run(trial, 1, ask=Verdict.SAVE)
    assert read_json(trial.attempt(1).saved)["step"] == 1 and not trial.metrics.exists()
    (taken,) = inodes(trial, 1).items()
    trial.attempt(2).root.mkdir()
    run(trial, 2)
    assert taken in inodes(trial, 2).items() and len(inodes(trial, 2)) == 8
    one, other = (read_json(files.metrics)["outputs"]["labels"]["sha256"] for files in (trial, whole))
    assert one == other
    assert all(np.array_equal(label, read(whole)[name]) for name, label in read(trial).items())


def test_labels_of_an_earlier_network_are_not_taken_over(sweep: Path, root: Path) -> None:
    trial = labelling(sweep, root)
    run(trial, 1, ask=Verdict.SAVE)
    shutil.rmtree(sweep / PARENT)
    run(write_trial(sweep / PARENT, small_config(root, "source_only", steps=3)))
    trial.attempt(2).root.mkdir()
    run(trial, 2)
    assert not inodes(trial, 1).items() & inodes(trial, 2).items()
    assert read_json(trial.metrics)["uses_target_labels"] is False


def test_an_unreadable_image_is_a_fault_or_left_out(sweep: Path, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "domains"
    shutil.copytree(root, copy)
    min((copy / "target/leftImg8bit/train").rglob("*.png")).write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be read"):
        run(labelling(sweep, copy))
    trial = labelling(sweep, copy, name="skipping", on_bad="skip")
    run(trial)
    assert read_json(trial.metrics)["images"] == len(read(trial)) == 7
