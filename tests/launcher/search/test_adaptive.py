"""An adaptive search on disk: the plan is its record, whoever adds to it."""

from pathlib import Path
from typing import Any

import pytest

from launcher.plan import read_plan, write_plan
from launcher.search.adaptive import AdaptiveSearch, search_of_sweep, taken_up
from launcher.search.best import write_best
from launcher.states import State, TrialStatus
from launcher.sweep import Sweep, expand, load_sweep
from segda_core.errors import ConfigError
from segda_core.layout import TrialFiles
from sweeps import load

BASE = {"steps": 5, "method": {"name": "joint"}, "optimizer": {"name": "sgd"}}
SPACE = {"optimizer.lr": {"loguniform": [1e-4, 1e-1]}}


def a_search(folder: Path, *overrides: str, **changes: Any) -> Sweep:
    search = {"space": SPACE, "algorithm": "tpe", "trials": 4, **changes}
    return load(folder, *overrides, base=BASE, search=search)


def proposing(sweep: Sweep, runs: Path) -> AdaptiveSearch:
    search = search_of_sweep(sweep)
    assert search is not None
    return AdaptiveSearch(sweep, search, runs)


def test_trials_are_planned_before_they_start_and_there_are_no_more_than_asked_for(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    proposals = proposing(a_search(tmp_path), runs)
    ids = []
    while proposal := proposals.propose():
        ids.append(proposal.trial.id)
        assert read_plan(runs, "demo") == {"toy": ids}
        assert TrialFiles(runs / "demo" / ids[-1]).config.exists()
        assert [trial.id for trial in proposal.expansion.trials] == ids
    assert len(set(ids)) == 4


def test_a_later_launch_goes_on_with_the_same_trials(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first = proposing(a_search(tmp_path), runs)
    before = [first.propose(), first.propose()]
    sweep = taken_up(a_search(tmp_path), runs)
    trials = expand(sweep).trials
    assert [trial.id for trial in trials] == [each.trial.id for each in before if each]
    write_plan(runs, sweep, expand(sweep))
    assert read_plan(runs, "demo") == {"toy": [trial.id for trial in trials]}
    assert "search: 2 more trials are proposed as results come in" in expand(sweep).notes


def test_two_launches_share_one_search(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    one, other = proposing(a_search(tmp_path), runs), proposing(a_search(tmp_path), runs)
    seen: dict[str, list[str]] = {"one": [], "other": []}
    for _ in range(5):
        for name, proposals in (("one", one), ("other", other)):
            if proposal := proposals.propose():
                seen[name].append(proposal.trial.id)
    assert seen["one"] == seen["other"] == read_plan(runs, "demo")["toy"]
    assert len(seen["one"]) == 4


def test_a_changed_base_begins_the_search_anew_and_set_does_not(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    proposing(a_search(tmp_path), runs).propose()
    changed = load(tmp_path, base={**BASE, "steps": 7}, search=a_dict(a_search(tmp_path)))
    assert taken_up(changed, runs).stages[0].proposed == ()
    with pytest.raises(ConfigError, match="--set: the search demo has begun with other settings"):
        taken_up(a_search(tmp_path, "steps=7"), runs)


def a_dict(sweep: Sweep) -> dict[str, Any]:
    search = search_of_sweep(sweep)
    assert search is not None
    return search.model_dump(exclude_unset=True, by_alias=True)


def test_every_end_of_a_space_is_checked_before_anything_starts(tmp_path: Path) -> None:
    for algorithm in ("random", "tpe"):
        search = {"algorithm": algorithm, "trials": 30, "space": {"batch_size": {"int": [0, 2]}}}
        with pytest.raises(
            ConfigError, match=r"search\.space\.batch_size: found 0; allowed: a number greater"
        ):
            expand(taken_up(load(tmp_path, search=search), tmp_path / "runs"))


def test_random_points_that_make_the_same_trial_are_one(tmp_path: Path) -> None:
    expansion = expand(load(tmp_path, search={"trials": 20, "space": {"seed": {"int": [0, 1]}}}))
    assert (len(expansion.trials), len(expansion.merged)) == (2, 18)


def test_the_best_is_a_sweep_over_seeds(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    sweep = load(tmp_path, "batch_size=4", base=BASE, search={"trials": 3, "space": SPACE})
    expansion = expand(sweep)
    first, second, third = (trial.id for trial in expansion.trials)
    statuses = [
        TrialStatus(first, State.DONE, miou=0.2),
        TrialStatus(second, State.DONE, miou=0.3),
        TrialStatus(third, State.STOPPED, miou=0.9),
    ]
    path = write_best(sweep, expansion, statuses, runs)
    assert path == runs / "demo" / "best.yaml"
    (tmp_path / "sweeps" / "data").rename(runs / "demo" / "data")  # where its profile is looked for
    best = expand(load_sweep(str(path)))
    assert [trial.config.seed for trial in best.trials] == [0, 1, 2]
    rate = expansion.trials[1].config.optimizer.lr
    assert all((trial.config.optimizer.lr, trial.config.batch_size) == (rate, 4) for trial in best.trials)
    assert best.trials[0].id == second and best.trials[0].sweep == "demo_best"
    assert write_best(sweep, expansion, statuses[2:], runs) is None
