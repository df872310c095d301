from pathlib import Path

import pytest

from launcher.profile import SHIPPED, load_profile
from launcher.search.adaptive import ends_of_search
from launcher.sweep import expand, load_sweep
from segda_core.config import METHOD_CONFIGS, Profile
from segda_core.errors import load_yaml, parse

PROFILES = sorted((SHIPPED / "data").rglob("*.yaml"))
SWEEPS = sorted(set(SHIPPED.rglob("*.yaml")) - set(PROFILES) - set((SHIPPED / "reference").rglob("*.yaml")))


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


def test_every_run_of_the_notes_is_there_under_its_name() -> None:
    stages = {
        trial.stage: trial.config
        for path in SWEEPS
        if path.parent.name == "notes"
        for trial in expand(load_sweep(str(path))).trials
    }
    runs = load_yaml(SHIPPED / "reference/gta5_cityscapes.yaml")["notes"]
    assert len(runs) == 17 and {run["name"] for run in runs} <= stages.keys()
    assert {stages[run["name"]].data.name for run in runs} == {"gta5_cityscapes"}


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
