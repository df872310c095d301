"""Broken sweeps by the dozen: each error says file, place as written, what was found, what is allowed."""

from pathlib import Path
from typing import Any

import pytest

from launcher.sweep import expand, load_sweep
from segda_core.errors import ConfigError
from sweeps import METHODS, TOY_PROFILE, expanded, load, write_profile, write_sweep


def problems(folder: Path, *overrides: str, **content: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        expanded(folder, *overrides, **content)
    return [problem.replace(f"{folder}/sweeps/", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"bsae": {}}, "demo.yaml: bsae: unknown key; allowed: name, description, data, base, grid, zip, exclude, executor; did you mean 'base'?"),
        ({"grid": {"seed": 3}}, "demo.yaml: grid.seed: found 3; allowed: a list or 'ladder'"),
        ({"grid": {"seed": []}}, "demo.yaml: grid.seed: found []; allowed: at least 1 entries or 'ladder'"),
        ({"grid": {"seed": "ladder"}}, "demo.yaml: grid.seed: found 'ladder'; allowed: a list; the ladder is for target.subset.size"),
        ({"grid": {"seed..x": [1]}}, "demo.yaml: grid.seed..x: a path is keys joined by dots, as optimizer.lr"),
        ({"zip": {"seed": [0]}}, "demo.yaml: zip: found a mapping of seed; allowed: a list"),
        ({"zip": [{"seed": 0, "steps": 1}, {"seed": 1}]}, "demo.yaml: zip[1]: steps is missing; zip[0] gives it"),
        ({"zip": [{"seed": 0}, {"seed": 1, "steps": 1}]}, "demo.yaml: zip[1].steps: missing from zip[0]; each entry gives the same paths"),
        ({"zip": [{}]}, "demo.yaml: zip[0]: found an empty mapping; allowed: at least 1 entries"),
        ({"grid": {"seed": [0]}, "zip": [{"seed": 0}]}, "demo.yaml: zip[0].seed: it is an axis of grid too; keep one of them"),
        ({"grid": {"seed": [0]}, "exclude": [{"sede": 0}]}, "demo.yaml: exclude[0].sede: no axis; there are: seed; did you mean 'seed'?"),
        ({"grid": {"seed": [0]}, "exclude": [{}]}, "demo.yaml: exclude[0]: found an empty mapping; allowed: at least 1 entries"),
        ({"exclude": [{"seed": 0}]}, "demo.yaml: exclude[0].seed: no axis; there are: none"),
        ({"executor": {"name": "slrum"}}, "demo.yaml: executor.name: found 'slrum'; allowed: 'local'"),
        ({"executor": {"retries": 1}}, "demo.yaml: executor.retries: unknown key; allowed: name, max_parallel, retry, stall_min; did you mean 'retry'?"),
        ({"executor": {"max_parallel": 0}}, "demo.yaml: executor.max_parallel: found 0; allowed: a number greater than 0"),
        ({"data": None}, "demo.yaml: data: missing; name a data profile there or with --data"),
        ({"base": {"steps": 1}}, "demo.yaml: method: missing; it needs a mapping with a name: source_only, supervised, joint, adaptsegnet"),
        ({"base": {"method": {"name": "joint"}, "stesp": 3}}, "demo.yaml: steps: missing; it needs an integer"),
        ({"base": {"method": {"name": "joint"}, "steps": "1e3"}}, "demo.yaml: base.steps: found '1e3'; allowed: an integer; YAML reads 1e3 as text: write 1000"),
        ({"base": {"method": {"name": "join"}, "steps": 1}}, "demo.yaml: base.method.name: found 'join'; allowed: source_only, supervised, joint, adaptsegnet; did you mean 'joint'?"),
        ({"base": {"method": {"name": "joint"}, "steps": 1, "target": {"subset": {"size": "ladder"}}}}, "demo.yaml: base.target.subset.size: found 'ladder'; allowed: an integer or 'all'; `ladder` stands for the profile's sizes only as the grid's target.subset.size: ladder"),
        ({"grid": {"target.subset.size": [10, "ladder"]}}, "demo.yaml: grid.target.subset.size[1]: found 'ladder'; allowed: an integer or 'all'; `ladder` stands for the profile's sizes only as the grid's target.subset.size: ladder"),
        ({"grid": {"optimizr.lr": [0.1, 0.2]}}, "demo.yaml: grid.optimizr.lr: unknown key; allowed: data, source, target, transforms, model, method, optimizer, schedule, steps, batch_size, micro_batches, ranks, threads, precision, clip_norm, seed, evaluation, workers, log_every, checkpoint; did you mean 'optimizer'?"),
        ({"grid": {"optimizer.ler": [0.1, 0.2]}, "base": {"steps": 1, "method": {"name": "joint"}, "optimizer": {"name": "adamw"}}}, "demo.yaml: grid.optimizer.ler: unknown key; allowed: name, lr, betas, weight_decay, head_lr_multiplier; did you mean 'lr'?"),
        ({"grid": {"optimizer.lr": ["1e-3"]}, "base": {"steps": 1, "method": {"name": "joint"}, "optimizer": {"name": "adamw"}}}, "demo.yaml: grid.optimizer.lr[0]: found '1e-3'; allowed: a number; YAML reads 1e-3 as text: write 1.0e-3"),
        ({"grid": {"method": [{"name": "joint"}, {"name": "adaptsegnet", "levls": "multi"}]}}, "demo.yaml: grid.method[1].levls: unknown key; allowed: name, levels, gan, lambda_aux, lambda_adv_aux, lambda_adv_main, channels, discriminator; did you mean 'levels'?"),
        ({"grid": {"method": ["joint"]}}, "demo.yaml: grid.method[0]: found 'joint'; allowed: a mapping; write {name: joint}"),
        ({"zip": [{"seed": 0}, {"seed": "x"}]}, "demo.yaml: zip[1].seed: found 'x'; allowed: an integer"),
        ({"grid": {"data": ["streets", "toy"]}}, "demo.yaml: grid.data[0]: a trial's data are its profile's; choose another with data: or --data"),
        ({"base": {"method": {"name": "joint"}, "steps": 1, "data": {"name": "streets"}}}, "demo.yaml: base.data: a trial's data are its profile's; choose another with data: or --data"),
        ({"base": {"method": {"name": "joint"}, "steps": 1, "target": {"name": "camra"}}}, "demo.yaml: data profile toy has no domain 'camra'; it has: camera, render"),
        ({"base": {"method": {"name": "joint"}, "steps": 1, "optimizer.lr": 3}}, "demo.yaml: base.optimizer.lr: unknown key; dotted paths are for grid, zip, exclude and --set: here write optimizer: {lr: …}"),
        ({"base": {"method": {"name": "joint"}, "steps": 1, "batch_size": 3, "ranks": 2}}, "demo.yaml: batch_size 3 does not divide among ranks 2 x micro_batches 1"),
    ],
)  # fmt: skip
def test_a_broken_sweep_says_what_is_wrong_and_where(
    tmp_path: Path, content: dict[str, Any], expected: str
) -> None:
    assert expected in problems(tmp_path, **content)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optimizr.lr=3", "--set optimizr.lr: unknown key; allowed: data"),
        ("stepz=3", "; did you mean 'steps'?"),
        ("steps=1e3", "--set steps: found '1e3'; allowed: an integer; YAML reads 1e3 as text: write 1000"),
        ("steps", "--set steps: allowed: path=value"),
        ("=3", "--set =3: allowed: path=value"),
        ("steps={a", "--set steps={a: not valid YAML"),
        ("method={name: joint, lamda_aux: 1}", "--set method.lamda_aux: unknown key"),
        ("executor.name=slurm", "--set executor: name: found 'slurm'; allowed: 'local'"),
        ("executor.retri=1", "--set executor: retri: unknown key"),
        ("data=other", "--set data: a trial's data are its profile's; choose another with data: or --data"),
        (
            "data.version=2",
            "--set data.version: a trial's data are its profile's; choose another with data: or --data",
        ),
    ],
)
def test_a_broken_set_says_what_is_wrong(tmp_path: Path, override: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, override))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ladderr": [1]}, "data/toy.yaml: ladderr: unknown key; allowed: name, version, domains, ladder, make, trial; did you mean 'ladder'?"),
        ({"ladder": [10, 0]}, "data/toy.yaml: ladder[1]: found 0; allowed: a number greater than 0 or 'all'"),
        ({"make": "street"}, "data/toy.yaml: make: found 'street'; allowed: 'streets'; did you mean 'streets'?"),
        ({"domains": {"a": {"layout": "gta", "root": "x"}}}, "data/toy.yaml: domains.a.layout: found 'gta'; allowed: 'gta5' or 'cityscapes'"),
        ({"trial": {**TOY_PROFILE["trial"], "modle": {}}}, "data/toy.yaml: trial.modle: unknown key"),
        ({"trial": {**TOY_PROFILE["trial"], "model": {"name": "tiny", "widht": 8}}}, "data/toy.yaml: trial.model.widht: unknown key; allowed: name, width, norm, align_corners; did you mean 'width'?"),
    ],
)  # fmt: skip
def test_a_broken_profile_is_named_with_its_own_file(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    write_profile(tmp_path, **changes)
    assert expected in "\n".join(problems(tmp_path))


def test_a_ladder_that_the_profile_does_not_have(tmp_path: Path) -> None:
    write_profile(tmp_path, ladder=[])
    found = problems(tmp_path, grid={"target.subset.size": "ladder"})
    assert found == [
        "demo.yaml: grid.target.subset.size: found 'ladder', but the data profile has none; give a list of sizes"
    ]


def test_every_fault_of_every_trial_is_listed_once(tmp_path: Path) -> None:
    content = {
        "base": {"steps": "many", "optimizer": {"name": "adamw", "lrr": 1}},
        "grid": {"method": [*METHODS, {"name": "adaptsegnet", "gan": "x"}], "seed": [0, 1, "two"]},
    }
    found = problems(tmp_path, **content)
    assert sorted(line.split(": ")[1] for line in found) == [
        "base.optimizer.lrr",
        "base.steps",
        "grid.method[4].gan",
        "grid.seed[2]",
    ]


def test_a_fault_of_some_points_says_which(tmp_path: Path) -> None:
    grid = {"method": METHODS, "method.lambda_target": [0.5], "seed": [0, 1]}
    found = problems(tmp_path, base={"steps": 1}, grid=grid)
    assert (
        "demo.yaml: grid.method.lambda_target: unknown key; allowed: name, lambda_aux; did you mean 'lambda_aux'? "
        "(at 4 of 8 points, first method=source_only, lambda_target=0.5, seed=0)"
    ) in found
    labelled = problems(
        tmp_path, base={"steps": 1, "target": {"labelled": {"size": 5}}}, grid={"method": METHODS}
    )
    assert labelled == [
        f"demo.yaml: target.labelled is set, but method {name} never sees target labels "
        f"(at 1 of 4 points, first method={name})"
        for name in ("source_only", "adaptsegnet")
    ]


def test_unknown_names_are_answered_with_near_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, data, expected in [
        ("dmeo", None, "no sweep 'dmeo'; there are: demo"),
        ("dmeo", None, "did you mean 'demo'?"),
        ("demo", "tooy", "no data profile 'tooy'; there are: carla_camvid"),
        ("demo", "tooy", "did you mean 'toy'?"),
        ("sweeps/none.yaml", None, "sweeps/none.yaml: cannot be read: No such file or directory"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load_sweep(name, data=data)
        assert expected in str(caught.value)
    with pytest.raises(
        ConfigError, match="--executor: name: found 'lokal'; allowed: 'local'; did you mean 'local'"
    ):
        load_sweep("demo", executor="lokal")


def test_a_profile_copied_without_its_name_is_refused(tmp_path: Path) -> None:
    path = write_profile(tmp_path)
    path.rename(path.with_name("mine.yaml"))
    write_sweep(tmp_path, data="mine")
    with pytest.raises(ConfigError, match="name: found 'toy'; allowed: 'mine', as the file is called"):
        load(tmp_path, data="mine")


def test_a_sweep_copied_without_its_name_is_refused(tmp_path: Path) -> None:
    path = write_sweep(tmp_path)
    copy = path.rename(path.with_name("mine.yaml"))
    with pytest.raises(ConfigError, match="mine.yaml: name: found 'demo'; allowed: 'mine', as the file is called"):
        load_sweep(str(copy))


def test_a_key_given_twice_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    path = write_sweep(tmp_path)
    path.write_text("name: demo\ndata: toy\ngrid: {seed: [0], seed: [1]}\n")
    with pytest.raises(ConfigError, match="line 3, column 19: key 'seed' is given twice"):
        expand(load_sweep(str(path)))
    path.write_text("")
    with pytest.raises(ConfigError, match=r"demo.yaml: found nothing \(null\); allowed: a mapping"):
        load_sweep(str(path))
