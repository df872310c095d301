from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from launcher.profile import SHIPPED, load_profile
from launcher.search.adaptive import ends_of_search
from launcher.sweep import expand, load_sweep
from launcher.trial import Trial
from segda_core.config import METHOD_CONFIGS, Profile, TrialConfig
from segda_core.errors import load_yaml, parse

PROFILES = sorted((SHIPPED / "data").rglob("*.yaml"))
SWEEPS = sorted(set(SHIPPED.rglob("*.yaml")) - set(PROFILES) - set((SHIPPED / "reference").rglob("*.yaml")))


WHOLE = (2975, 22973)
"""Target images of Cityscapes' train split, and with those the notes' students add."""


def test_all_are_found() -> None:
    assert {"target_size", "smoke", "real_pair"} <= {path.stem for path in SWEEPS}
    assert {"streets", "gta5_cityscapes", "carla_camvid"} <= {path.stem for path in PROFILES}


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_loads_and_has_a_ladder(path: Path) -> None:
    profile = parse(Profile, load_yaml(path), str(path))
    assert load_profile(profile.name, beside=SHIPPED) == (path, profile) and len(profile.ladder) >= 3


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
@pytest.mark.parametrize("data", [None, *(path.stem for path in PROFILES)])
def test_every_sweep_expands_on_every_profile(path: Path, data: str | None) -> None:
    """But for those that name their own profile's domains: on that one alone."""
    own = load_sweep(str(path)).stages[0].profile
    bound = any(f"{{name: {domain}" in path.read_text() for domain in own.domains)
    if data in (None, own.name) or not bound:
        sweep = load_sweep(str(path), data=data)
        assert expand(sweep).trials or ends_of_search(sweep)


NOTES = load_yaml(SHIPPED / "reference/gta5_cityscapes.yaml")["notes"]


@pytest.fixture(scope="module")
def trials_of_the_notes() -> dict[str | None, list[Trial]]:
    """By stage: a run of the notes is a stage of its name."""
    found: dict[str | None, list[Trial]] = defaultdict(list)
    for path in SWEEPS:
        if path.parent.name == "notes":
            for trial in expand(load_sweep(str(path))).trials:
                found[trial.stage].append(trial)
    return found


def test_the_notes_have_seventeen_runs_and_one_later_checkpoint() -> None:
    assert len(NOTES) == 17 + 1


@pytest.mark.parametrize("run", NOTES, ids=lambda run: run["name"])
def test_every_run_of_the_notes_is_there_under_its_name(
    run: dict[str, Any], trials_of_the_notes: dict[str | None, list[Trial]]
) -> None:
    """With its steps, protocol and target images; runs on a part of them with the notes' pick and another."""
    trials = trials_of_the_notes[run["name"]]
    configs = [trial.config for trial in trials if isinstance(trial.config, TrialConfig)]
    assert configs and len(configs) == len(trials)
    for config in configs:
        assert config.data.name == "gta5_cityscapes"
        assert config.evaluation.protocol == run["protocol"]
        assert run["steps"] in (None, config.steps)
        assert ("labels" in run["used"] and run["used"] != "pseudo labels") == (
            config.target.labelled is not None
        )
    subsets = [config.target.subset for config in configs if config.target.subset is not None]
    assert len(subsets) == len(configs)
    if (size := run["target_images"]) in WHOLE:
        assert {subset.size for subset in subsets} == {"all"}
    else:
        assert {(subset.size, subset.pick) for subset in subsets} == {(size, "first"), (size, "random")}


def test_smoke_covers_every_method_that_needs_no_parent_in_two_steps() -> None:
    trials = expand(load_sweep("smoke")).trials
    needs_parent = {
        name
        for name, method in METHOD_CONFIGS.items()
        if any(taken.required for taken in method.inputs.values())
    }
    assert {trial.config.method.name for trial in trials} == METHOD_CONFIGS.keys() - needs_parent
    assert {trial.config.steps for trial in trials} == {2}


def test_target_size_has_every_method_size_and_seed() -> None:
    expansion = expand(load_sweep("target_size"))
    assert (len(expansion.trials), len(expansion.merged)) == (2 + 4 * 3 * 2, 4)
    sizes = {trial.config.target.subset.size for trial in expansion.trials if trial.config.target.subset}
    assert sizes == {10, 40, 160}
