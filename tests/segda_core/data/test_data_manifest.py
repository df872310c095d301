import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from domains import raw_config

from segda_core.classes import CLASSES
from segda_core.data.absent import absent_classes
from segda_core.data.labels import label_counts
from segda_core.data.manifest import manifest_hash, select_images
from segda_core.data.subset import pick_subset
from segda_core.errors import DataError

WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
runpy.run_module("segda_core.data", run_name="__main__")
"""


def names(records) -> list[str]:
    return [record.name for record in records]


def counts(images) -> tuple[int, int, int, int]:
    return len(images.source), len(images.target), len(images.labelled), len(images.validation)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("source_only", (12, 0, 0, 4)),
        ("supervised", (0, 0, 6, 4)),
        ("joint", (12, 0, 6, 4)),
        ("adaptsegnet", (12, 6, 0, 4)),
    ],
)
def test_only_what_the_method_opens(drawn_pair, configure, method, expected):
    images = select_images(configure(drawn_pair, method))
    assert counts(images) == expected
    assert images.target_count == (0 if method == "source_only" else 6)
    assert all(record.label is None for record in images.target)
    assert images.skipped == []


def test_every_method_gets_the_same_subset(drawn_pair, configure):
    target = select_images(configure(drawn_pair, "adaptsegnet")).target
    labelled = select_images(configure(drawn_pair, "joint")).labelled
    pool = [
        record.name for record in select_images(configure(drawn_pair, target={"name": "camera"})).labelled
    ]
    config = configure(drawn_pair)
    assert names(target) == names(labelled) == pick_subset(sorted(pool), config.target.subset)


def test_labelled_images_are_the_first_of_the_subset(drawn_pair, configure):
    target = {"name": "camera", "subset": {"size": 6}, "labelled": {"size": 2}}
    whole = select_images(configure(drawn_pair)).labelled
    assert names(select_images(configure(drawn_pair, target=target)).labelled) == names(whole)[:2]


def test_subset_larger_than_the_pool(drawn_pair, configure):
    target = {"name": "camera", "subset": {"size": 11}}
    with pytest.raises(DataError, match=r"size is 11, but there are only 10"):
        select_images(configure(drawn_pair, target=target))


def test_holdout_list_and_share_are_never_trained_on(pair, configure):
    (pair / "game/holdout.txt").write_text("00002.png\n00011\n")
    config = configure(pair, source=[{"name": "game", "holdout": "holdout.txt"}])
    assert {"00002", "00011"} == {f"{n:05}" for n in range(1, 13)} - set(names(select_images(config).source))
    config = configure(pair, source=[{"name": "game", "holdout": 0.25}])
    assert len(select_images(config).source) == 9
    (pair / "game/holdout.txt").write_text("00099\n")
    config = configure(pair, source=[{"name": "game", "holdout": "holdout.txt"}])
    with pytest.raises(DataError, match=r"holdout.txt"):
        select_images(config)


def test_several_sources_are_concatenated(drawn_pair, configure):
    config = configure(drawn_pair, source=[{"name": "game"}, {"name": "game", "holdout": 0.5}])
    assert len(select_images(config).source) == 18


def test_missing_labels_fail_by_name(pair, configure):
    (pair / "game/labels/00004.png").unlink()
    (pair / "game/labels/00009.png").unlink()
    with pytest.raises(DataError, match=r"images/00004.png: no label \(and 1 more\); `on_bad: skip`"):
        select_images(configure(pair))
    images = select_images(configure(pair, on_bad="skip"))
    assert counts(images) == (10, 0, 6, 4)
    assert [Path(line.split(":")[0]).name for line in images.skipped] == ["00004.png", "00009.png"]


def test_missing_target_labels(pair, configure):
    chosen = select_images(configure(pair)).labelled
    chosen[1].label.unlink()
    with pytest.raises(DataError, match=f"{chosen[1].image.name}: no label"):
        select_images(configure(pair))
    images = select_images(configure(pair, on_bad="skip"))
    assert len(images.labelled) == 6
    assert chosen[1].name not in names(images.labelled)
    assert names(images.labelled)[0] == chosen[0].name
    everything = {"name": "camera", "subset": {"size": 10}}
    with pytest.raises(DataError, match=r"size is 10, but there are only 9"):
        select_images(configure(pair, on_bad="skip", target=everything))


def test_missing_validation_labels(pair, configure):
    select_images(configure(pair)).validation[0].label.unlink()
    with pytest.raises(DataError, match=r"lindau_000010_000019_leftImg8bit.png: no label"):
        select_images(configure(pair))
    assert len(select_images(configure(pair, on_bad="skip")).validation) == 3


def test_no_label_at_all(pair, configure):
    shutil.rmtree(pair / "game/labels")
    with pytest.raises(DataError, match=r"game: none of 12 images has a label"):
        select_images(configure(pair, on_bad="skip"))


def test_target_labels_may_be_gone_where_the_method_never_sees_them(pair, configure):
    shutil.rmtree(pair / "camera/gtFine/train")
    assert counts(select_images(configure(pair, "adaptsegnet"))) == (12, 6, 0, 4)
    with pytest.raises(DataError, match="no label"):
        select_images(configure(pair, "joint"))


def test_hash_follows_names_and_sizes_but_not_roots(pair, drawn_pair, configure):
    def hashed(root: Path, method: str = "joint") -> str:
        return manifest_hash(select_images(configure(root, method)))

    first = hashed(drawn_pair)
    assert len(first) == 64
    assert hashed(pair) == first
    assert hashed(pair, "adaptsegnet") != first
    with (pair / "game/labels/00001.png").open("ab") as file:
        file.write(b"x")
    grown = hashed(pair)
    assert grown != first
    for kind in ("images", "labels"):
        (pair / f"game/{kind}/00001.png").rename(pair / f"game/{kind}/90001.png")
    assert hashed(pair) not in (first, grown)


def test_hash_of_unlabelled_targets_ignores_their_labels(pair, configure):
    def hashed(method: str) -> str:
        return manifest_hash(select_images(configure(pair, method)))

    before = hashed("adaptsegnet"), hashed("joint")
    label = select_images(configure(pair, "joint")).labelled[0].label
    label.write_bytes(label.read_bytes() + b"x")
    assert hashed("adaptsegnet") == before[0]
    assert hashed("joint") != before[1]


def test_absent_classes(drawn_pair, configure):
    labelled = select_images(configure(drawn_pair, target={"name": "camera"})).labelled
    in_order = sorted(labelled, key=lambda record: record.name.split("_")[1])
    assert absent_classes(in_order, ("road", "train")) == []
    first = in_order[0].label
    opened = []

    def count(path):
        opened.append(path)
        return label_counts(path)

    declared = ("road", "building", "traffic sign", "train", "bicycle")
    assert absent_classes(in_order[:1], declared) == ["train", "bicycle"]
    assert absent_classes(in_order, ("road", "building"), count) == []
    assert opened == [first]


def test_a_label_that_may_be_skipped_shows_no_class(pair, configure):
    validation = select_images(configure(pair, on_bad="skip")).validation
    everything = absent_classes(validation, CLASSES)
    validation[0].label.write_bytes(b"no picture")
    assert absent_classes(validation[:1], ("road", "car")) == ["road", "car"]
    assert set(absent_classes(validation, CLASSES)) >= set(everything)
    strict = select_images(configure(pair)).validation
    with pytest.raises(DataError, match=r"gtFine_labelIds\.png: cannot be read"):
        absent_classes(strict, ("road",))


@pytest.mark.processes
def test_command_describes_selections_without_torch(pair, tmp_path):
    (pair / "game/labels/00004.png").unlink()
    first = raw_config(pair, "supervised", target={"name": "camera", "subset": {"size": 1, "pick": "first"}})
    selections = {
        "supervised": first,
        "adaptsegnet": raw_config(pair, "adaptsegnet", "skip"),
        "broken": raw_config(pair, "source_only"),
        "unknown": {**first, "stepz": 3},
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "manifest", "--absent-classes"],
        input=json.dumps({"selections": selections}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    supervised = answer["supervised"]
    assert (supervised["target"], supervised["labelled"], supervised["problem"]) == (1, 1, None)
    assert "road" not in supervised["absent_classes"]
    assert "bicycle" in supervised["absent_classes"]
    assert (answer["adaptsegnet"]["source"], answer["adaptsegnet"]["target"]) == (11, 6)
    assert answer["adaptsegnet"]["absent_classes"] == []
    assert "00004.png: no label" in answer["adaptsegnet"]["skipped"][0]
    assert "00004.png: no label" in answer["broken"]["problem"]
    assert "stepz" in answer["unknown"]["problem"]
    assert len({entry["hash"] for entry in answer.values()}) == 3
