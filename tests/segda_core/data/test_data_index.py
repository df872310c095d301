import re
import shutil
from pathlib import Path

import domains
import pytest

from segda_core.config import Domain
from segda_core.data.index import expand_root, scan
from segda_core.errors import DataError


def game(root: Path, **changes: str) -> Domain:
    return Domain(layout="gta5", root=str(root / "game"), **changes)


def camera(root: Path, **changes: str) -> Domain:
    return Domain(layout="cityscapes", root=str(root / "camera"), **changes)


def test_gta5_layout(drawn_pair):
    records = scan(game(drawn_pair), "train").records
    assert [record.name for record in records] == [f"{number:05}" for number in range(1, 13)]
    assert records[4].image == drawn_pair / "game/images/00005.png"
    assert records[4].label == drawn_pair / "game/labels/00005.png"


def test_cityscapes_layout(drawn_pair):
    train = [record.name for record in scan(camera(drawn_pair), "train").records]
    assert train[:2] == ["aachen/aachen_000000_000019", "aachen/aachen_000002_000019"]
    assert train[5:] == [f"bochum/bochum_{number:06}_000019" for number in range(1, 10, 2)]
    validation = scan(camera(drawn_pair), "val").records
    stem = "lindau/lindau_000010_000019"
    assert validation[0].name == stem
    assert validation[0].image == drawn_pair / f"camera/leftImg8bit/val/{stem}_leftImg8bit.png"
    assert validation[0].label == drawn_pair / f"camera/gtFine/val/{stem}_gtFine_labelIds.png"
    assert len(train) == 10
    assert len(validation) == 4


def test_jpeg_images_and_train_id_labels(pair):
    image = pair / "camera/leftImg8bit/val/lindau/lindau_000010_000019_leftImg8bit.png"
    label = pair / "camera/gtFine/val/lindau/lindau_000010_000019_gtFine_labelIds.png"
    image.rename(image.with_suffix(".JPG"))
    train_ids = label.rename(label.with_name("lindau_000010_000019_gtFine_labelTrainIds.png"))
    record = scan(camera(pair), "val").records[0]
    assert record.image == image.with_suffix(".JPG")
    assert record.label == train_ids
    shutil.copy(train_ids, label)
    assert scan(camera(pair), "val").records[0].label == label


def test_root_from_the_environment(monkeypatch):
    monkeypatch.delenv("SEGDA_TEST_DATA", raising=False)
    assert expand_root("${SEGDA_TEST_DATA:-data}/carla") == Path("data/carla")
    monkeypatch.setenv("SEGDA_TEST_DATA", "/else where")
    assert expand_root("${SEGDA_TEST_DATA:-data}/carla") == Path("/else where/carla")
    assert expand_root("${SEGDA_TEST_DATA}/carla") == Path("/else where/carla")
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_root("~/carla") == expand_root("${SEGDA_OTHER:-~/carla}") == Path("/home/me/carla")
    assert expand_root("~nobody-is-called-so/carla") == Path("~nobody-is-called-so/carla")
    monkeypatch.delenv("SEGDA_TEST_DATA")
    with pytest.raises(DataError, match="no SEGDA_TEST_DATA"):
        expand_root("${SEGDA_TEST_DATA}/carla")


@pytest.mark.parametrize(
    "line",
    [
        "aachen/aachen_000004_000019",
        "leftImg8bit/train/aachen/aachen_000004_000019_leftImg8bit.png",
        "  aachen/aachen_000004_000019_leftImg8bit.jpg\n\n",
    ],
)
def test_published_list_forms(pair, line):
    (pair / "camera/list.txt").write_text(line)
    records = scan(camera(pair, list="list.txt"), "train").records
    assert [record.name for record in records] == ["aachen/aachen_000004_000019"]


def test_list_restricts_training_and_never_validation(pair):
    (pair / "game/list.txt").write_text("00007.png\n00002.png\n")
    (pair / "camera/list.txt").write_text("aachen/aachen_000004_000019\n")
    assert [record.name for record in scan(game(pair, list="list.txt"), "train").records] == [
        "00002",
        "00007",
    ]
    assert len(scan(camera(pair, list="list.txt"), "val").records) == 4


def unknown_name(root: Path) -> None:
    (root / "game/list.txt").write_text("00001.png\n00099.png\n")


def listed_twice(root: Path) -> None:
    (root / "game/list.txt").write_text("00001\n00001.png\n")


def duplicate_image(root: Path) -> None:
    shutil.copy(root / "game/images/00003.png", root / "game/images/00003.jpg")


@pytest.mark.parametrize(
    ("damage", "message", "left"),
    [
        (unknown_name, r"list.txt:2: no image '00099.png'; a name looks like '00001'", 1),
        (listed_twice, r"list.txt:2: '00001.png' is listed twice", 1),
        (duplicate_image, r"images/00003.png: same name as .*images/00003.jpg", 12),
    ],
)
def test_bad_names_fail_or_are_skipped(pair, damage, message, left):
    damage(pair)
    changes = {"list": "list.txt"} if (pair / "game/list.txt").exists() else {}
    with pytest.raises(DataError, match=message):
        scan(game(pair, **changes), "train")
    listing = scan(game(pair, on_bad="skip", **changes), "train")
    assert len(listing.records) == left
    assert len(listing.skipped) == 1
    assert re.search(message, listing.skipped[0])


def empty_images(root: Path) -> None:
    shutil.rmtree(root / "game/images")
    (root / "game/images").mkdir()


def missing_images(root: Path) -> None:
    shutil.rmtree(root / "game")


def list_of_nothing(root: Path) -> None:
    (root / "game/list.txt").write_text("\n\n")


def list_of_other_bytes(root: Path) -> None:
    (root / "game/list.txt").write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize("on_bad", ["fail", "skip"])
@pytest.mark.parametrize(
    ("damage", "list_file", "message"),
    [
        (empty_images, None, r"game/images: no images \(.png, .jpg, .jpeg\)"),
        (missing_images, None, r"game/images: folder cannot be read: No such file"),
        (lambda root: None, "missing.txt", r"game/missing.txt: file list cannot be read"),
        (list_of_nothing, "list.txt", r"list.txt: the file list names no image"),
        (list_of_other_bytes, "list.txt", r"list.txt: file list cannot be read"),
    ],
)
def test_unusable_folders_always_fail(pair, damage, list_file, message, on_bad):
    damage(pair)
    with pytest.raises(DataError, match=message):
        scan(game(pair, on_bad=on_bad, **({"list": list_file} if list_file else {})), "train")


def test_cityscapes_without_images_and_gta5_without_validation(tmp_path, drawn_pair):
    (tmp_path / "camera/leftImg8bit/train/aachen").mkdir(parents=True)
    with pytest.raises(DataError, match=r"leftImg8bit/train: no images"):
        scan(camera(tmp_path), "train")
    with pytest.raises(DataError, match="gta5 layout has no validation split"):
        scan(game(drawn_pair), "val")


def test_drawn_domains_show_every_class_and_ignored_ids():
    seen = {int(value) for index in range(3) for value in domains.draw(index, (64, 32), 0, 1.0, 0)[1].flat}
    assert set(domains.LABEL_IDS) <= seen
    assert seen - set(domains.LABEL_IDS) <= set(domains.IGNORED_LABEL_IDS)
    assert seen - set(domains.LABEL_IDS)
