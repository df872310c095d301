"""The embedded domains: same bytes everywhere, known labels, a long tail, written whole or not at all."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from small_sweep import wait_until

from segda_core.classes import CLASSES, LABEL_IDS
from segda_core.data.__main__ import main
from segda_core.data.streets import VERSION, make_streets
from segda_core.data.streets.scene import draw_sample
from segda_core.data.streets.write import LOCK, Sample, all_samples, write_samples, write_streets

IGNORED_IDS = {0, 1, 3, 4, 6, 10}
FEW = [sample for sample in all_samples() if sample.index in (2, 650, 250)]


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def class_counts(samples: list[Sample]) -> np.ndarray:
    """Pixels of each label id in each picture: (pictures, 34)."""
    labels = [draw_sample(sample.domain, sample.index)[1] for sample in samples]
    return np.array([np.bincount(label.ravel(), minlength=34) for label in labels])


@pytest.fixture(scope="module")
def validation() -> np.ndarray:
    return class_counts([sample for sample in all_samples() if sample.split == "val"])


def test_a_sample_depends_on_its_number_alone() -> None:
    for domain in ("render", "camera"):
        picture, labels = draw_sample(domain, 7)
        draw_sample(domain, 8)
        again, labels_again = draw_sample(domain, 7)
        assert picture.shape == (128, 256, 3) and picture.dtype == np.uint8
        assert labels.shape == (128, 256) and labels.dtype == np.uint8
        assert np.array_equal(picture, again) and np.array_equal(labels, labels_again)
        other, other_labels = draw_sample(domain, 8)
        assert not np.array_equal(picture, other) and not np.array_equal(labels, other_labels)


def test_every_class_is_in_at_least_eight_validation_pictures(validation: np.ndarray) -> None:
    visible = {
        name: int((validation[:, label] >= 20).sum()) for name, label in zip(CLASSES, LABEL_IDS, strict=True)
    }
    assert len(validation) == 80
    assert {name: count for name, count in visible.items() if count < 8} == {}


def test_class_shares_have_a_long_tail(validation: np.ndarray) -> None:
    labelled = validation[:, list(LABEL_IDS)].sum(0)
    share = dict(zip(CLASSES, labelled / labelled.sum(), strict=True))
    assert sum(share[name] for name in ("road", "building", "vegetation", "sky", "car")) > 0.75
    assert share["road"] == max(share.values())
    for name in ("wall", "fence", "traffic light", "traffic sign", "rider", "train", "motorcycle", "bicycle"):
        assert 0.0002 < share[name] < 0.02, name
    for name in ("truck", "bus"):
        assert 0.001 < share[name] < 0.03, name


def test_labels_hold_known_ids_and_some_ignored_ones(validation: np.ndarray) -> None:
    found = set(np.flatnonzero(validation.sum(0)).tolist())
    assert found <= set(LABEL_IDS) | IGNORED_IDS
    assert {1, 3, 10} <= found
    render = class_counts(all_samples()[:8])
    assert set(np.flatnonzero(render.sum(0)).tolist()) <= set(LABEL_IDS) | IGNORED_IDS


def test_the_domains_look_different() -> None:
    def saturation(domain: str) -> float:
        pictures = np.stack([draw_sample(domain, index)[0] for index in range(4)]).astype(float)
        return float((pictures.max(-1) - pictures.min(-1)).mean())

    assert saturation("render") > 1.5 * saturation("camera")


def test_samples_follow_the_two_layouts() -> None:
    samples = all_samples()
    counts = {(sample.domain, sample.split): 0 for sample in samples}
    for sample in samples:
        counts[sample.domain, sample.split] += 1
    assert counts == {
        ("render", "train"): 600,
        ("render", "held_out"): 100,
        ("camera", "train"): 240,
        ("camera", "val"): 80,
    }
    assert samples[0].image == "render/images/00001.png" and samples[0].labels == "render/labels/00001.png"
    assert samples[-1].image == "camera/leftImg8bit/val/hollerbach/hollerbach_000000_000040_leftImg8bit.png"
    assert samples[-1].labels == "camera/gtFine/val/hollerbach/hollerbach_000000_000040_gtFine_labelIds.png"
    assert len({sample.image for sample in samples}) == len(samples) == 1020


def test_written_files_hold_the_sample(tmp_path: Path) -> None:
    write_streets(tmp_path / "streets", FEW, workers=1, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["streets"]
    assert (tmp_path / "streets/render/holdout.txt").read_text() == "00651.png\n"
    for sample in FEW:
        picture, labels = draw_sample(sample.domain, sample.index)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "streets" / sample.image)), picture)
        stored = Image.open(tmp_path / "streets" / sample.labels)
        assert stored.mode == "L" and np.array_equal(np.asarray(stored), labels)


@pytest.mark.processes
def test_files_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    samples = all_samples()[:12]
    write_streets(tmp_path / "one", samples, workers=1, progress=False)
    write_streets(tmp_path / "two", samples, workers=2, progress=False)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "streets"
    root.mkdir()
    (root / "mine.txt").write_text("kept")
    make_streets(root, progress=False)
    assert files(tmp_path) == {"streets/mine.txt": b"kept"}


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "streets").mkdir()
    write_streets(tmp_path / "streets", FEW[:1], workers=1, progress=False)
    assert (tmp_path / "streets" / FEW[0].image).is_file()


def test_of_two_callers_one_result_stays(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "streets"
    start, failures = threading.Barrier(2), []

    def call() -> None:
        start.wait()
        try:
            write_streets(root, FEW, workers=1, progress=False)
        except Exception as error:
            failures.append(error)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert failures == []
    assert [path.name for path in root.parent.iterdir()] == ["streets"]
    assert len(files(root)) == 2 * len(FEW) + 1


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    broken = Sample("nowhere", 0, "train", "render/images/a.png", "render/labels/a.png")
    with pytest.raises(KeyError, match="nowhere"):
        write_streets(tmp_path / "streets", [broken], workers=1, progress=False)
    assert list(tmp_path.iterdir()) == []


def start_maker(root: Path) -> "subprocess.Popen[bytes]":
    """Another process that writes all of it to `root`, alone."""
    code = "import sys, pathlib; from segda_core.data.streets import make_streets;"
    code += "make_streets(pathlib.Path(sys.argv[1]), workers=1, progress=False)"
    return subprocess.Popen([sys.executable, "-c", code, root])


@pytest.mark.processes
def test_what_a_killed_maker_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    root = tmp_path / "streets [1]"
    killed, living = (start_maker(root) for _ in range(2))
    wait_until(lambda: len({path.parent for path in tmp_path.glob(".*/render/images/*.png")}) == 2)
    killed.kill()
    killed.wait()
    write_streets(root, FEW, workers=1, progress=False)
    (left,) = tmp_path.glob(".*")
    assert living.poll() is None
    (left / LOCK).write_text("another boot's")
    living.kill()
    living.wait()
    write_streets(root, FEW, workers=1, progress=False)
    assert list(tmp_path.glob(".*")) == [left], "its maker may run on another machine"
    assert len(files(root)) == 2 * len(FEW) + 1


@pytest.mark.processes
def test_all_of_it(tmp_path: Path, drawn_data: Path) -> None:
    root = drawn_data / VERSION
    make_streets(root, workers=2, progress=False)
    assert len(files(root)) == 2 * 1020 + 1
    held_out = (root / "render/holdout.txt").read_text().split()
    assert held_out == [f"{number:05d}.png" for number in range(601, 701)]
    sample = all_samples()[123]
    (tmp_path / "alone" / "render/images").mkdir(parents=True)
    (tmp_path / "alone" / "render/labels").mkdir()
    write_samples(tmp_path / "alone", [sample])
    assert (tmp_path / "alone" / sample.image).read_bytes() == (root / sample.image).read_bytes()
    for domain, split in (("render", "train"), ("render", "held_out"), ("camera", "train")):
        chosen = [sample for sample in all_samples() if (sample.domain, sample.split) == (domain, split)]
        stored = [np.asarray(Image.open(root / sample.labels)) for sample in chosen]
        pictures_with = [sum(bool((labels == label).any()) for labels in stored) for label in LABEL_IDS]
        assert min(pictures_with) >= 8, (domain, split)


def profile_with(tmp_path: Path, *roots: Path) -> Path:
    domains = {f"domain{index}": {"layout": "gta5", "root": str(root)} for index, root in enumerate(roots)}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "make": "streets", "domains": domains}))
    return path


def test_it_is_drawn_where_a_profile_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setattr("segda_core.data.streets.make_streets", made.append)
    profile = profile_with(tmp_path, tmp_path / "mine/render", tmp_path / "mine/camera")
    assert main(["make", "streets", "--profile", str(profile)]) == 0
    assert made == [tmp_path / "mine"]


def test_roots_in_two_folders_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = profile_with(tmp_path, tmp_path / "one/render", tmp_path / "two/camera")
    assert main(["make", "streets", "--profile", str(profile)]) == 2
    assert f"their roots lie in {tmp_path / 'one'} and {tmp_path / 'two'}" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_or_holds_something_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for root, reason in (("file", "Not a directory"), ("file/below", "File exists")):
        assert main(["make", "streets", "--root", str(tmp_path / root)]) == 2
        assert f"{tmp_path / root}: cannot be made: {reason}" in capsys.readouterr().err
    assert main(["make", "streets", "--root", str(tmp_path)]) == 0
    assert f"{tmp_path}: something is there already; nothing is drawn" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
