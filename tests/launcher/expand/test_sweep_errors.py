"""Broken sweeps by the dozen: each error says file, place as written, what was found, what is allowed."""

from pathlib import Path
from typing import Any

import pytest

from launcher.expand.layers import merge
from launcher.sweep import expand, load_sweep
from segda_core.config import METHOD_CONFIGS, TrialConfig
from segda_core.errors import ConfigError, load_yaml
from sweeps import METHODS, TOY_PROFILE, expanded, load, write_profile, write_sweep

CASES = load_yaml(Path(__file__).with_name("broken_sweeps.yaml"))


def problems(folder: Path, *overrides: str, **content: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        expanded(folder, *overrides, **content)
    return [problem.replace(f"{folder}/sweeps/", "") for problem in caught.value.problems]


@pytest.mark.parametrize("case", CASES["sweeps"], ids=lambda case: case["says"][:60])
def test_a_broken_sweep_says_what_is_wrong_and_where(tmp_path: Path, case: dict[str, Any]) -> None:
    says = case["says"].replace("METHODS", ", ".join(METHOD_CONFIGS))
    says = says.replace("FIELDS", ", ".join(TrialConfig.model_fields))
    assert says in problems(tmp_path, **case["file"])


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
        (
            "executor.name=slrum",
            "--set: executor.name: found 'slrum'; allowed: local, slurm, ray; did you mean",
        ),
        ("executor.retri=1", "--set: executor.retri: unknown key"),
        ("data=other", "--set data: a trial's data are its profile's; choose another with data: or --data"),
        (
            "data.version=2",
            "--set data.version: a trial's data are its profile's; choose another with data: or --data",
        ),
    ],
)
def test_a_broken_set_says_what_is_wrong(tmp_path: Path, override: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, override))


@pytest.mark.parametrize("case", CASES["profiles"], ids=lambda case: case["says"][:60])
def test_a_broken_profile_is_named_with_its_own_file(tmp_path: Path, case: dict[str, Any]) -> None:
    write_profile(tmp_path, **merge(TOY_PROFILE, case["file"]))
    assert case["says"] in "\n".join(problems(tmp_path))


def test_a_ladder_that_the_profile_does_not_have(tmp_path: Path) -> None:
    write_profile(tmp_path, ladder=[])
    found = problems(tmp_path, grid={"target.subset.size": "ladder"})
    assert found == [
        "demo.yaml: grid.target.subset.size: found 'ladder', but the data profile has none; "
        "give a list of sizes"
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


@pytest.mark.parametrize("case", CASES["together"], ids=lambda case: case["places"][0])
def test_no_fault_hides_another_or_makes_one_up(tmp_path: Path, case: dict[str, Any]) -> None:
    found = problems(tmp_path, **case["file"])
    assert sorted(line.removeprefix("demo.yaml: ").split(": ")[0] for line in found) == sorted(case["places"])


def test_wrong_settings_hide_neither_one_another_nor_the_files_faults(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "steps",
        "seed={",
        "executor.retri=1",
        "ranks=x",
        base={"model": {"name": "tiny", "wdith": 8}},
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["--set steps", "allowed"],
        ["--set seed={", "not valid YAML"],
        ["--set", "executor.retri"],
        ["--set ranks", "found 'x'; allowed"],
        ["demo.yaml", "base.model.wdith"],
    ]


def test_a_fault_of_some_points_says_which(tmp_path: Path) -> None:
    grid = {"method": METHODS, "method.lambda_target": [0.5], "seed": [0, 1]}
    found = problems(tmp_path, base={"steps": 1}, grid=grid)
    assert (
        "demo.yaml: grid.method.lambda_target: unknown key; allowed: name, lambda_aux; "
        "did you mean 'lambda_aux'? "
        "(at 2 of 8 points, first method=source_only, lambda_target=0.5, seed=0)"
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
        ("dmeo", None, "no sweep 'dmeo'; there are: adaptsegnet, contrastive, demo"),
        ("dmeo", None, "did you mean 'demo'?"),
        ("demo", "tooy", "no data profile 'tooy'; there are: carla_camvid"),
        ("demo", "tooy", "did you mean 'toy'?"),
        ("sweeps/none.yaml", None, "no sweep 'sweeps/none.yaml'; there are: adaptsegnet"),
        ("sweeps/dmeo.yaml", None, "did you mean 'demo'?"),
        ("demo.yaml", None, "demo.yaml: no such file; did you mean sweeps/demo.yaml?"),
        ("runs/demo", None, "runs/demo: no such file; did you mean sweeps/demo.yaml?"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load_sweep(name, data=data)
        assert expected in str(caught.value)
    with pytest.raises(
        ConfigError,
        match=r"--executor: executor.name: found 'lokal'; allowed: local, .*; did you mean 'local'",
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
    with pytest.raises(ConfigError, match="name: found 'demo'; allowed: 'mine', as the file is called"):
        load_sweep(str(copy))


def test_a_key_given_twice_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    path = write_sweep(tmp_path)
    path.write_text("name: demo\ndata: toy\ngrid: {seed: [0], seed: [1]}\n")
    with pytest.raises(ConfigError, match="line 3, column 19: key 'seed' is given twice"):
        expand(load_sweep(str(path)))
    path.write_text("")
    with pytest.raises(ConfigError, match=r"demo.yaml: found nothing \(null\); allowed: a mapping"):
        load_sweep(str(path))
