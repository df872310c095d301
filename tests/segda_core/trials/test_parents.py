"""What a trial takes from its parents: weights to start from, images to train on, and their hashes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from domains import write_gta5
from trials import run, small_config, write_domains, write_trial

from segda_core import checkpoint
from segda_core.errors import ConfigError, DataError
from segda_core.files import read_json, write_json
from segda_core.process import Verdict
from segda_core.trials.failure import cause_of
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import changed_parent, digest

PARENT, CHILD = "pretrain-1", "adapt-1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("domains")
    write_domains(folder)
    return folder


@pytest.fixture(scope="module")
def pretrained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's folder with one finished parent, which used target labels."""
    sweep = tmp_path_factory.mktemp("sweep")
    run(write_trial(sweep / PARENT, small_config(root, "supervised", steps=2)))
    return sweep


@pytest.fixture
def sweep(pretrained: Path, tmp_path: Path) -> Path:
    shutil.copytree(pretrained, tmp_path / "sweep")
    return tmp_path / "sweep"


def child_of(sweep: Path, root: Path, attempts: int = 1, **changes: Any) -> TrialFiles:
    """A child that starts from the parent's weights; steps of rate 0, so that they stay as they were."""
    settings = {"steps": 1, "optimizer": {"name": "sgd", "lr": 1e-30, "weight_decay": 0.0}, **changes}
    child = write_trial(sweep / CHILD, small_config(root, "adaptsegnet", **settings), attempts)
    name_parents(child, init_from={"trial": PARENT, "output": "segmenter"})
    return child


def name_parents(child: TrialFiles, **parents: dict[str, str]) -> None:
    write_json(child.trial, {"parents": parents})


def weights(trial: TrialFiles, number: int = 1) -> dict[str, torch.Tensor]:
    networks = checkpoint.load(trial.attempt(number).checkpoints / "final.pt")["networks"]
    return dict(networks["segmenter"])


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(one[name], other[name], atol=1e-12) for name in other)


def test_training_starts_from_the_parents_weights(sweep: Path, root: Path) -> None:
    child = child_of(sweep, root)
    run(child)
    assert same(weights(child), weights(TrialFiles(sweep / PARENT)))
    alone = write_trial(sweep / "alone", child_config(child))
    run(alone)
    assert not same(weights(alone), weights(child))


def child_config(child: TrialFiles) -> Any:
    from segda_core.errors import load_yaml
    from segda_core.trials.tasks import parse_config

    return parse_config(load_yaml(child.config), "child")


def test_the_result_says_what_was_read_and_whether_target_labels_were_used(sweep: Path, root: Path) -> None:
    child = child_of(sweep, root)
    run(child)
    parent = read_json(sweep / PARENT / "metrics.json")
    record = {
        "trial": PARENT,
        "output": "segmenter",
        **parent["outputs"]["segmenter"],
        "uses_target_labels": True,
    }
    for path in (child.metrics, child.attempt(1).environment):
        assert read_json(path)["parents"] == {"init_from": record}
    metrics = read_json(child.metrics)
    assert metrics["uses_target_labels"] is True and metrics["labelled_images"] == 0


def test_a_resumed_attempt_does_not_read_the_weights_again(sweep: Path, root: Path) -> None:
    child = child_of(sweep, root, steps=2)
    run(child, 1, ask=Verdict.SAVE)
    (sweep / PARENT / "attempts/1/checkpoints/final.pt").unlink()
    child.attempt(2).root.mkdir()
    run(child, 2)
    assert read_json(child.attempt(2).environment)["first_step"] == 1
    assert read_json(child.metrics)["parents"] == read_json(child.attempt(1).environment)["parents"]


def test_a_resumed_attempt_needs_no_parent_that_is_being_run_again(sweep: Path, root: Path) -> None:
    child = child_of(sweep, root, steps=2)
    run(child, 1, ask=Verdict.SAVE)
    (sweep / PARENT / "metrics.json").unlink()
    child.attempt(2).root.mkdir()
    run(child, 2)
    assert read_json(child.metrics)["uses_target_labels"] is True


def rerun_parent(sweep: Path, root: Path, steps: int = 3) -> None:
    """The parent again, with another result."""
    shutil.rmtree(sweep / PARENT)
    run(write_trial(sweep / PARENT, small_config(root, "supervised", steps=steps)))


def test_an_unfinished_child_starts_afresh_where_the_parent_changed(sweep: Path, root: Path) -> None:
    child = child_of(sweep, root, steps=2)
    run(child, 1, ask=Verdict.SAVE)
    rerun_parent(sweep, root)
    child.attempt(2).root.mkdir()
    run(child, 2, ask=Verdict.SAVE)
    assert read_json(child.attempt(2).environment)["first_step"] == 0
    child.attempt(3).root.mkdir()
    run(child, 3)
    assert read_json(child.attempt(3).environment)["first_step"] == 1
    assert same(weights(child, 3), weights(TrialFiles(sweep / PARENT)))


def test_a_finished_child_knows_that_a_parent_or_grandparent_changed(sweep: Path, root: Path) -> None:
    child = child_of(sweep, root)
    run(child)
    grandchild = {"init_from": {"trial": CHILD, **record_of(child)}}
    parents = read_json(child.metrics)["parents"]
    assert changed_parent(parents, sweep, {}) is None and changed_parent(grandchild, sweep, {}) is None
    metrics = (sweep / PARENT / "metrics.json").read_text()
    (sweep / PARENT / "metrics.json").unlink()
    assert changed_parent(parents, sweep, {}) is None  # being run again: not known yet
    (sweep / PARENT / "metrics.json").write_text(metrics)
    rerun_parent(sweep, root)
    assert changed_parent(parents, sweep, {}) == PARENT
    assert changed_parent(grandchild, sweep, {}) == PARENT


def record_of(trial: TrialFiles) -> dict[str, Any]:
    return {"output": "segmenter", "sha256": read_json(trial.metrics)["outputs"]["segmenter"]["sha256"]}


@pytest.mark.parametrize("fault", ["missing", "altered", "not done"])
def test_a_missing_or_altered_parent_is_named_as_a_fault_of_the_data(
    fault: str, sweep: Path, root: Path
) -> None:
    child = child_of(sweep, root)
    path = sweep / PARENT / "attempts/1/checkpoints/final.pt"
    if fault == "missing":
        path.unlink()
    elif fault == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        path = sweep / PARENT / "metrics.json"
        path.unlink()
    with pytest.raises(DataError) as caught:
        run(child)
    assert str(path) in str(caught.value) and "init_from" in str(caught.value)
    assert fault in str(caught.value) and cause_of(caught.value) == "data"
    assert (f"--rerun {PARENT} --retry data" in str(caught.value)) == (fault != "not done")


def test_weights_of_another_model_are_refused(sweep: Path, root: Path) -> None:
    child = child_of(sweep, root, model={"name": "tiny", "width": 16})
    with pytest.raises(ConfigError, match=r"init_from: .*final\.pt"):
        run(child)


def test_runs_may_move(sweep: Path, root: Path, tmp_path: Path) -> None:
    child_of(sweep, root)
    moved = tmp_path / "elsewhere" / "sweep"
    moved.parent.mkdir()
    sweep.rename(moved)
    run(TrialFiles(moved / CHILD))
    assert (moved / CHILD / "metrics.json").exists()


def hand_made_output(sweep: Path, count: int = 3) -> str:
    """A parent as `translate` will leave it: images in GTA5's layout; returns its id."""
    parent = TrialFiles(sweep / "cycle-1")
    write_gta5(parent.attempt(1).root / "images", count, seed=5)
    folder = "attempts/1/images"
    outputs = {"images": {"path": folder, "sha256": digest(parent.root / folder)}}
    write_json(parent.metrics, {"task": "translate", "outputs": outputs})
    return parent.root.name


def test_images_that_a_parent_made_are_a_source(sweep: Path, root: Path) -> None:
    parent = hand_made_output(sweep)
    for source, count in (([{"output": "cycle"}], 3), ([{"name": "source"}, {"output": "cycle"}], 15)):
        child = write_trial(sweep / f"child-{count}", small_config(root, "joint", steps=1, source=source))
        name_parents(child, cycle={"trial": parent, "output": "images"})
        run(child)
        metrics = read_json(child.metrics)
        assert metrics["source_images"] == count
        assert metrics["parents"]["cycle"]["sha256"] == digest(sweep / parent / "attempts/1/images")


def test_made_images_are_opened_and_no_others(sweep: Path, root: Path) -> None:
    source = [{"output": "cycle"}]
    child = write_trial(sweep / "child", small_config(root, "source_only", steps=1, source=source))
    name_parents(child, cycle={"trial": hand_made_output(sweep), "output": "images"})
    config = child_config(child)
    domains = {**config.data.model_dump()["domains"], "source": {"layout": "gta5", "root": "/nowhere"}}
    text = json.dumps({**config.model_dump(mode="json"), "data": {"name": "small", "domains": domains}})
    child.config.write_text(text)  # YAML reads JSON
    run(child)
    assert read_json(child.metrics)["source_images"] == 3


def test_a_made_image_that_is_gone_or_changed_is_a_fault_of_the_data(sweep: Path, root: Path) -> None:
    child = write_trial(sweep / "child", small_config(root, "joint", source=[{"output": "cycle"}]))
    name_parents(child, cycle={"trial": hand_made_output(sweep), "output": "images"})
    (sweep / "cycle-1/attempts/1/images/images/00002.png").unlink()
    with pytest.raises(DataError, match="cycle-1/attempts/1/images: altered since the parent made it"):
        run(child)


def test_a_source_without_its_parent_is_refused(sweep: Path, root: Path) -> None:
    child = write_trial(sweep / "child", small_config(root, "joint", source=[{"output": "cycle"}]))
    with pytest.raises(ConfigError, match=r"trial\.json: names no parent for cycle"):
        run(child)


def test_a_folders_digest_is_over_names_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/1.png").write_bytes(b"123")
    before = digest(tmp_path / "a")
    (tmp_path / "a/b/1.png").write_bytes(b"1234")
    assert digest(tmp_path / "a") != before
    (tmp_path / "a/b/1.png").rename(tmp_path / "a/b/2.png")
    (tmp_path / "a/b/2.png").write_bytes(b"123")
    assert digest(tmp_path / "a") != before
