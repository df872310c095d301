from pathlib import Path
from typing import Any

import pytest

from segda_core.config import Profile, TrialConfig
from segda_core.errors import ConfigError, check, did_you_mean, load_yaml, parse, parse_yaml

METHOD_KEYS = "name, levels, gan, lambda_aux, lambda_adv_aux, lambda_adv_main, channels, discriminator"


def trial(**changes: Any) -> dict[str, Any]:
    return {
        "data": {"name": "toy", "domains": {"a": {"layout": "gta5", "root": "a"}}},
        "source": [{"name": "a"}],
        "target": {"name": "a"},
        "model": {"name": "tiny"},
        "method": {"name": "adaptsegnet"},
        "steps": 3,
        "evaluation": {"size": [64, 32]},
        **changes,
    }


def test_a_correct_trial_has_no_problem() -> None:
    assert isinstance(check(TrialConfig, trial()), TrialConfig)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stepz": 3}, "stepz: unknown key; allowed: data, "),
        ({"stepz": 3}, "; did you mean 'steps'?"),
        (
            {"method": {"name": "adaptsegnet", "levls": "multi"}},
            f"method.levls: unknown key; allowed: {METHOD_KEYS}; did you mean 'levels'?",
        ),
        (
            {"method": {"name": "adaptsegnet", "discriminator": {"lrr": 1.0}}},
            "method.discriminator.lrr: unknown key; allowed: lr, betas; did you mean 'lr'?",
        ),
        (
            {"source": [{"nam": "a"}]},
            "source[0].nam: unknown key; allowed: name, holdout; did you mean 'name'?",
        ),
        ({"source": [{"nam": "a"}]}, "source[0].name: missing; it needs text"),
        (
            {"method": {"name": "adaptsegnt"}},
            "method.name: found 'adaptsegnt'; allowed: source_only, supervised, joint, adaptsegnet, ",
        ),
        ({"method": {"name": "adaptsegnt"}}, "; did you mean 'adaptsegnet'?"),
        ({"method": {"gan": "bce"}}, "method: name is missing; allowed: source_only, supervised"),
        ({"method": "joint"}, "method: found 'joint'; allowed: a mapping; write {name: joint}"),
        (
            {"method": {"name": "adaptsegnet", "gan": "lsgn"}},
            "method.gan: found 'lsgn'; allowed: 'bce' or 'lsgan'; did you mean 'lsgan'?",
        ),
        (
            {"optimizer": {"name": "sgd", "lr": "1e-3"}},
            "optimizer.lr: found '1e-3'; allowed: a number; YAML reads 1e-3 as text: write 1.0e-3",
        ),
        (
            {"optimizer": {"name": "sgd", "lr": "2.5E4"}},
            "optimizer.lr: found '2.5E4'; allowed: a number; YAML reads 2.5E4 as text: write 2.5e+4",
        ),
        (
            {"steps": "1e3"},
            "steps: found '1e3'; allowed: an integer; YAML reads 1e3 as text: write 1000",
        ),
        ({"steps": 0}, "steps: found 0; allowed: a number greater than 0"),
        ({"steps": True}, "steps: found True; allowed: an integer"),
        ({"steps": 2.5}, "steps: found 2.5; allowed: an integer"),
        ({"steps": None}, "steps: found nothing (null); allowed: an integer"),
        ({"steps": {"a": 1}}, "steps: found a mapping of a; allowed: an integer"),
        ({"clip_norm": float("nan")}, "clip_norm: found nan; allowed: a finite number"),
        (
            {"target": {"name": "a", "subset": {"size": "alll"}}},
            "target.subset.size: found 'alll'; allowed: an integer or 'all'; did you mean 'all'?",
        ),
        (
            {"target": {"name": "a", "subset": {"size": "ladder"}}},
            "; `ladder` stands for the profile's sizes only as the grid's target.subset.size: ladder",
        ),
        ({"source": "a"}, "source: found 'a'; allowed: a list"),
        (
            {"source": [{"name": "a", "holdout": 3}]},
            "source[0].holdout: found 3; allowed: a number less than 1 or",
        ),
        ({"evaluation": {"size": [64]}}, "evaluation.size[1]: missing; it needs an integer"),
        (
            {"evaluation": {"size": [64, 32, 3]}},
            "evaluation.size: found [64, 32, 3]; allowed: at most 2 entries",
        ),
        ({"evaluation": {"size": [64, 32], "classes": ["raod"]}}, "did you mean 'road'?"),
        ({"evaluation": {}}, "evaluation.size: missing; it needs a list"),
        ({"optimizer.lr": 1.0}, "here write optimizer: {lr: …}"),
        ({"target.subset.size": 1}, "here write target: {subset: {size: …}}"),
        ({"batch_size": 3, "ranks": 2}, "batch_size 3 does not divide among ranks 2 x micro_batches 1"),
        ({"source": [{"name": "b"}]}, "data profile toy has no domain 'b'; it has: a"),
        ({"source": []}, "method adaptsegnet needs a source; source is empty"),
        (
            {"target": {"name": "a", "labelled": {"size": 3}}},
            "target.labelled is set, but method adaptsegnet never sees target labels",
        ),
        (
            {
                "method": {"name": "joint"},
                "target": {"name": "a", "subset": {"size": 10}, "labelled": {"size": 30}},
            },
            "target.labelled.size 30 is more than target.subset.size 10",
        ),
    ],
)
def test_a_problem_says_path_found_allowed_and_suggestion(changes: dict[str, Any], expected: str) -> None:
    problems = check(TrialConfig, trial(**changes))
    assert isinstance(problems, list)
    assert expected in "\n".join(map(str, problems))


def test_every_problem_is_said_once_with_its_path() -> None:
    changes = {"steps": "x", "method": {"name": "adaptsegnet", "gan": "y", "levls": 1}, "seeed": 1}
    problems = check(TrialConfig, trial(**changes))
    assert isinstance(problems, list)
    assert sorted(str(problem).split(":")[0] for problem in problems) == [
        "method.gan",
        "method.levls",
        "seeed",
        "steps",
    ]


def test_parse_names_the_file_in_each_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Profile, {"name": "x", "ladder": [0]}, "toy.yaml")
    assert caught.value.problems == [
        "toy.yaml: domains: missing; it needs a value",
        "toy.yaml: ladder[0]: found 0; allowed: a number greater than 0 or 'all'",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\tb: 2\n", "found character that cannot start any token: a tab; YAML takes spaces"),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: key 'a' is given twice"),
        ("x:\n  a: {b: 1, b: 2}\n", "line 2, column 13: key 'b' is given twice"),
        ("a: [1, 2\nb: 3", "line 2"),
        ("a: !!python/object:os.system 1", "could not determine a constructor"),
        ("a: '\x07'", "not valid YAML"),
    ],
)
def test_broken_yaml_names_file_and_place(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected.replace("(", r"\(")) as caught:
        load_yaml(path)
    assert str(caught.value).startswith(f"{path}: not valid YAML: ")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    for path, fault in (
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "directory"),
        (tmp_path / "latin.yaml", "UTF-8"),
    ):
        with pytest.raises(ConfigError, match=fault):
            load_yaml(path)


def test_yaml_keeps_merge_keys_and_types(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("base: &base {x: 1, y: 2.0}\nother: {<<: *base, x: 3}\n")
    assert load_yaml(path) == {"base": {"x": 1, "y": 2.0}, "other": {"x": 3, "y": 2.0}}
    assert parse_yaml("[1, 2.0e-3, all, true]") == [1, 0.002, "all", True]
    with pytest.raises(ValueError, match="not valid YAML"):
        parse_yaml("{a: 1")


def test_did_you_mean_is_silent_without_a_near_word() -> None:
    assert did_you_mean("optimzer", ["optimizer", "schedule"]) == "; did you mean 'optimizer'?"
    assert did_you_mean("xyz", ["optimizer"]) == ""
