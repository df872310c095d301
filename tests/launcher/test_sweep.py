import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.sweep import expand, load_sweep
from segda_core.config import AdamWConfig, AdaptSegNetConfig, SgdConfig
from segda_core.errors import ConfigError
from sweeps import METHODS, expanded, load, write_profile, write_sweep


def test_the_grid_is_the_cross_product_over_the_layers(tmp_path: Path) -> None:
    grid = {"method": METHODS, "target.subset.size": "ladder", "seed": [0, 1]}
    expansion = expanded(tmp_path, base={"steps": 7}, grid=grid)
    assert len(expansion.trials) == 3 * 3 * 2 + 2
    joint = next(
        trial
        for trial in expansion.trials
        if trial.point == {"method": METHODS[2], "target.subset.size": 40, "seed": 1}
    )
    config = joint.config
    assert (config.steps, config.seed, config.method.name, config.model.name) == (7, 1, "joint", "tiny")
    assert config.target.subset is not None and config.target.subset.size == 40
    assert config.transforms.source.crop == (64, 32) and config.data.name == "toy"
    assert joint.id.startswith("joint-toy-n40-s1-")


def test_points_of_one_config_are_one_trial_and_reported(tmp_path: Path) -> None:
    grid = {"method": METHODS[:1], "target.subset.size": [10, 40], "seed": [0, 1]}
    expansion = expanded(tmp_path, grid=grid)
    assert [trial.point for trial in expansion.trials] == [
        {"method": METHODS[0], "seed": 0},
        {"method": METHODS[0], "seed": 1},
    ]
    assert expansion.merged == [
        ({"method": METHODS[0], "target.subset.size": 40, "seed": 0}, expansion.trials[0].id),
        ({"method": METHODS[0], "target.subset.size": 40, "seed": 1}, expansion.trials[1].id),
    ]


def test_each_layer_wins_over_those_below(tmp_path: Path) -> None:
    write_profile(
        tmp_path,
        trial={
            **yaml.safe_load(write_profile(tmp_path).read_text())["trial"],
            "batch_size": 4,
            "seed": 4,
            "steps": 4,
            "threads": 4,
        },
    )
    content: dict[str, Any] = {
        "base": {"method": {"name": "joint"}, "seed": 5, "steps": 5, "threads": 5},
        "grid": {"steps": [6], "threads": [6]},
    }
    config = expanded(tmp_path, "threads=7", **content).trials[0].config
    assert (config.ranks, config.batch_size, config.seed, config.steps, config.threads) == (1, 4, 5, 6, 7)


def test_a_mapping_with_another_name_replaces_the_one_below(tmp_path: Path) -> None:
    base = {
        "steps": 1,
        "optimizer": {"name": "sgd", "momentum": 0.5},
        "method": {"name": "joint", "lambda_target": 2.0},
    }
    grid = {"optimizer": [{"name": "adamw"}, {"lr": 0.25}], "method": [{"name": "joint"}]}
    adamw, sgd = expanded(tmp_path, base=base, grid=grid).trials
    assert adamw.config.optimizer.name == "adamw"
    assert (
        sgd.config.optimizer.model_dump() | {"lr": 0.25, "momentum": 0.5} == sgd.config.optimizer.model_dump()
    )
    assert adamw.config.method.model_dump()["lambda_target"] == 2.0


def test_the_default_is_the_lowest_layer(tmp_path: Path) -> None:
    base = {"steps": 1, "method": {"name": "joint"}, "optimizer": {"lr": 0.25}}
    named = {**base, "optimizer": {"name": "sgd", "lr": 0.25}}
    nameless, again = expanded(tmp_path, base=base), expanded(tmp_path, base=named)
    assert [trial.id for trial in nameless.trials] == [trial.id for trial in again.trials]
    assert nameless.trials[0].config.optimizer == SgdConfig(name="sgd", lr=0.25)
    optimizers = [
        trial.config.optimizer
        for trial in expanded(
            tmp_path,
            "optimizer.weight_decay=0.5",
            base={**base, "optimizer": {"momentum": 0.5, "lr": 0.25}},
            grid={"optimizer": [{"name": "adamw"}, {"name": "sgd"}, {"lr": 0.125}]},
        ).trials
    ]
    assert optimizers == [
        AdamWConfig(name="adamw", weight_decay=0.5),
        SgdConfig(name="sgd", lr=0.25, momentum=0.5, weight_decay=0.5),
        SgdConfig(name="sgd", lr=0.125, momentum=0.5, weight_decay=0.5),
    ]
    (trial,) = expanded(tmp_path, "optimizer.name=adamw", base=base).trials
    assert trial.config.optimizer == AdamWConfig(name="adamw", lr=0.25)
    (plain,) = expanded(tmp_path, "optimizer={}").trials
    assert plain.id == expanded(tmp_path).trials[0].id


def test_an_axis_below_another_is_applied_after_it_whatever_their_order(tmp_path: Path) -> None:
    grid = {"method.channels": [16, 32], "method": [{"name": "adaptsegnet", "gan": "lsgan"}]}
    methods = [trial.config.method for trial in expanded(tmp_path, base={"steps": 1}, grid=grid).trials]
    assert all(isinstance(method, AdaptSegNetConfig) and method.gan == "lsgan" for method in methods)
    assert [method.channels for method in methods if isinstance(method, AdaptSegNetConfig)] == [16, 32]


@pytest.mark.parametrize("excluded", [False, True])
def test_axes_may_give_one_setting_where_no_point_loses_a_value(tmp_path: Path, excluded: bool) -> None:
    alphas = [
        {"method": {"name": "ema_classmix", "alpha": value}, "method.alpha": value} for value in (0.9, 0.99)
    ]
    axes = (
        {"grid": {path: [each[path] for each in alphas] for path in alphas[0]}}
        if excluded
        else {"zip": alphas}
    )
    axes["exclude"] = [
        {"method": {"alpha": one}, "method.alpha": other}
        for one, other in ((0.9, 0.99), (0.99, 0.9))
        if excluded
    ]
    assert len(expanded(tmp_path, base={"steps": 1}, **axes).trials) == 2


def test_zip_moves_values_together_as_one_axis(tmp_path: Path) -> None:
    zipped = [{"steps": 10, "optimizer.lr": 0.1}, {"steps": 20, "optimizer.lr": 0.2}]
    base = {"method": {"name": "joint"}, "optimizer": {"name": "sgd"}}
    trials = expanded(tmp_path, base=base, grid={"seed": [0, 1]}, zip=zipped).trials
    assert [(trial.config.seed, trial.config.steps, trial.config.optimizer.lr) for trial in trials] == [
        (0, 10, 0.1),
        (0, 20, 0.2),
        (1, 10, 0.1),
        (1, 20, 0.2),
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"method": {"name": "joint"}, "target.subset.size": 10},
        {"method": "joint", "target.subset.size": 10},
        {"method.name": "joint", "target.subset.size": 10},
    ],
)
def test_exclude_leaves_out_points_that_match_in_every_path(tmp_path: Path, entry: dict[str, Any]) -> None:
    grid = {
        "method": [{"name": "joint", "lambda_target": 0.5}, {"name": "supervised"}],
        "target.subset.size": [10, 40],
    }
    trials = expanded(tmp_path, base={"steps": 1}, grid=grid, exclude=[entry]).trials
    assert [trial.id.rsplit("-", 1)[0] for trial in trials] == [
        "joint-toy-n40-s0",
        "supervised-toy-n10-s0",
        "supervised-toy-n40-s0",
    ]


def test_exclude_reaches_into_zip_and_says_when_it_matches_nothing(tmp_path: Path) -> None:
    zipped = [{"steps": 10, "seed": 0}, {"steps": 20, "seed": 1}]
    expansion = expanded(tmp_path, zip=zipped, exclude=[{"steps": 10}, {"seed": 7}])
    assert [trial.config.steps for trial in expansion.trials] == [20]
    assert expansion.notes == [f"{tmp_path}/sweeps/demo.yaml: exclude[1] matches no point"]


def test_options_that_trials_end_before_are_told_once_of_a_kind(tmp_path: Path) -> None:
    levels = {"image": {}, "region": {"start": 20}, "prototype": {"start": 0}}
    grid = {
        "method": [{"name": "mrnet"}, {"name": "source_only"}],
        "contrastive": [None, levels],
        "steps": [20, 21, 15_001],
        "seed": [0, 1, 2],
    }
    told = "trials of {} steps end before {}, which never acts"
    assert expanded(tmp_path, grid=grid).notes == [
        told.format(20, "method.mr_start 15000"),
        told.format(21, "method.mr_start 15000"),
        told.format(20, "contrastive.image.start 3000"),
        told.format(20, "contrastive.region.start 20"),
        told.format(21, "contrastive.image.start 3000"),
    ]
    weightless = {"image": {"weight": 0.0}, "prototype": {"start": 4}}
    mrnet = {"name": "mrnet", "lambda_mr": 0.0}
    assert expanded(tmp_path, base={"steps": 5, "contrastive": weightless, "method": mrnet}).notes == []


def test_a_sweep_without_axes_is_one_trial(tmp_path: Path) -> None:
    assert [trial.point for trial in expanded(tmp_path).trials] == [{}]


def test_data_and_executor_of_the_command_line_replace_the_files(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, executor={"retry": 5})
    write_profile(tmp_path, name="other", ladder=[1])
    sweep = load_sweep(str(path), data="other", executor="local", overrides=["executor.max_parallel=3"])
    assert (sweep.name, sweep.data, sweep.stages[0].profile.ladder) == ("demo", "other", (1,))
    assert (sweep.executor.retry, sweep.executor.max_parallel) == (5, 3)
    assert sweep.overrides == ()
    assert expand(sweep).trials[0].config.data.name == "other"


def test_set_values_are_yaml_and_merge_like_a_layer(tmp_path: Path) -> None:
    config = (
        expanded(tmp_path, "method={lambda_aux: 0.3}", "optimizer={name: adamw}", "clip_norm=null")
        .trials[0]
        .config
    )
    assert config.method.model_dump() == {"name": "joint", "lambda_aux": 0.3, "lambda_target": 1.0}
    assert config.optimizer.name == "adamw" and config.clip_norm is None


def test_sweeps_are_found_by_name_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_sweep("demo").file == Path("sweeps/demo.yaml")
    monkeypatch.chdir("/")
    assert load_sweep("smoke").file.name == "smoke.yaml"


@pytest.mark.processes
def test_ids_do_not_depend_on_the_process_or_the_order_of_keys(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, base={"method": {"name": "joint"}, "steps": 5, "seed": 3})
    other = write_sweep(tmp_path / "b", base={"seed": 3, "steps": 5, "method": {"name": "joint"}})
    code = "import sys; from launcher.sweep import *; print(expand(load_sweep(sys.argv[1])).trials[0].id)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run(
        [sys.executable, "-c", code, str(other)], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == expand(load_sweep(str(path))).trials[0].id


def test_a_known_config_keeps_its_id(tmp_path: Path) -> None:
    """Results on disk are found by this id: it changes with CONFIG_VERSION and nothing else."""
    assert expanded(tmp_path).trials[0].id == "joint-toy-nall-s0-ba8b8cf6f54c"


def test_adding_a_value_an_axis_at_its_default_or_a_profile_size_keeps_ids(tmp_path: Path) -> None:
    before = {
        trial.id for trial in expanded(tmp_path, grid={"seed": [0, 1], "target.subset.size": "ladder"}).trials
    }
    write_profile(tmp_path, ladder=[5, 10, 40, 160])
    grid = {"seed": [0, 1, 2], "target.subset.size": "ladder", "precision": ["fp32"]}
    after = {trial.id for trial in expanded(tmp_path, grid=grid).trials}
    assert before < after


def test_thousands_of_trials_expand_in_time(tmp_path: Path) -> None:
    grid = {"method": METHODS, "target.subset.size": [*range(10, 60)], "seed": [*range(16)]}
    started = time.process_time()
    expansion = expanded(tmp_path, base={"steps": 1}, grid=grid)
    took = time.process_time() - started
    assert len(expansion.trials) == 3 * 50 * 16 + 16
    assert took < 3.0  # 0.4 s where nothing else runs


def test_everything_excluded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exclude: it leaves no point of the grid"):
        expanded(tmp_path, grid={"seed": [0]}, exclude=[{"seed": 0}])


def test_load_does_not_expand(tmp_path: Path) -> None:
    assert load(tmp_path, grid={"seed": ["x"]}).axes == ["seed"]
