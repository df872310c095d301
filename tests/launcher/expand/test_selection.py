from pathlib import Path

import pytest

from launcher.expand.selection import select
from launcher.trial import Trial
from segda_core.errors import ConfigError
from sweeps import METHODS, expanded

GRID = {"method": METHODS, "target.subset.size": [10, 40], "seed": [0, 1], "target.subset.seed": [0, 1]}


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    return expanded(tmp_path, base={"steps": 1}, grid=GRID).trials


def test_nothing_selects_everything(trials: list[Trial]) -> None:
    assert select(trials, []) == trials


def test_ids_select_by_their_beginning_and_add_up(trials: list[Trial]) -> None:
    ids = [trials[0].id, trials[5].id[:-3]]
    assert select(trials, ids) == [trials[0], trials[5]]
    assert len(select(trials, ["joint-toy-n10", "supervised-toy-n40"])) == 8


@pytest.mark.parametrize(
    ("only", "count"),
    [
        (["method=adaptsegnet"], 8),
        (["method.name=adaptsegnet"], 8),
        (["size=10"], 12),
        (["target.subset.size=10"], 12),
        (["seed=1"], 13),
        (["target.subset.seed=1"], 12),
        (["steps=1"], 26),
        (["method=joint", "seed=1"], 4),
        (["method=joint", "method=supervised", "size=40"], 8),
    ],
)
def test_axes_select_by_resolved_value(trials: list[Trial], only: list[str], count: int) -> None:
    assert len(select(trials, only)) == count


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ([""], "no trial's id begins with ''"),
        (["join-toy"], "no trial's id begins with 'join-toy'"),
        (["methd=joint"], "no axis 'methd'; there are: method, seed, target.subset.size, target.subset.seed"),
        (["methd=joint"], "did you mean 'method'?"),
        (["method=jont"], "no trial has method=jont; there are: source_only, supervised, joint, adaptsegnet"),
        (["method=jont"], "did you mean 'joint'?"),
        (["size=20"], "no trial has target.subset.size=20; there are: 10, 40"),
        (["size={"], "not valid YAML"),
        (["method=source_only", "size=10"], "no trial matches method=source_only and size=10 together"),
    ],
)
def test_what_selects_nothing_is_an_error(trials: list[Trial], only: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(trials, only)
    assert expected in str(caught.value)


def test_a_last_part_that_several_axes_share_is_refused(tmp_path: Path) -> None:
    grid = {"transforms.source.jitter": [0.1, 0.2], "transforms.target.jitter": [0.1, 0.2]}
    trials = expanded(tmp_path, grid=grid).trials
    with pytest.raises(
        ConfigError, match=r"'jitter' may be transforms.source.jitter or transforms.target.jitter"
    ):
        select(trials, ["jitter=0.1"])
    assert len(select(trials, ["transforms.source.jitter=0.1"])) == 2


def test_a_stage_is_selected_by_its_name(tmp_path: Path) -> None:
    stages = {
        "pretrain": {"task": "train", "grid": {"seed": [0, 1]}},
        "adapt": {"task": "train", "from": {"init_from": "pretrain"}, "base": {"steps": 6}},
    }
    trials = expanded(tmp_path, stages=stages).trials
    assert select(trials, ["stage=adapt"]) == trials[2:]
    assert select(trials, ["stage=adapt", "seed=1"]) == trials[3:]
    assert select(trials, ["stage=pretrain", "stage=adapt"]) == trials
    with pytest.raises(
        ConfigError, match="no trial has stage=adpat; there are: pretrain, adapt; did you mean"
    ):
        select(trials, ["stage=adpat"])


def test_a_task_without_a_setting_has_its_parents(tmp_path: Path) -> None:
    stages = {
        "first": {"task": "train", "grid": {"seed": [0, 1], "method": METHODS[:2]}},
        "labels": {"task": "pseudo_label", "from": {"network": "first"}},
    }
    trials = expanded(tmp_path, base={"steps": 1}, stages=stages).trials
    labels = [trial for trial in trials if trial.stage == "labels"]
    chosen = select(trials, ["seed=1"])
    assert {trial.stage for trial in chosen} == {"first", "labels"}
    assert {trial.parents["network"] for trial in chosen if trial in labels} < {trial.id for trial in chosen}
    name = trials[0].point["method"]["name"]
    assert len(select(labels, [f"method.name={name}"])) == len(select(labels, [f"method={name}"])) == 2


def test_without_stages_there_is_none_to_select(trials: list[Trial]) -> None:
    with pytest.raises(ConfigError, match="no axis 'stage'; there are: method, seed"):
        select(trials, ["stage=adapt"])
