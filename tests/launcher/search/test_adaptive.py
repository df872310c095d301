"""An adaptive search on disk: the plan is its record, whoever adds to it."""

from pathlib import Path
from typing import Any

import pytest

from launcher.launching.decide import Requests
from launcher.launching.manifest import problems
from launcher.launching.placement import open_places
from launcher.launching.survey import Survey, survey
from launcher.search.adaptive import AdaptiveSearch, ends_of_search, search_of_sweep, taken_up
from launcher.search.best import write_best
from launcher.search.searching import blindness
from launcher.sweep import Sweep, expand, load_sweep
from launcher.trial import Trial
from launcher.trials.outcome import BY_SEARCH, write_outcome
from launcher.trials.plan import read_plan
from launcher.trials.prepare import prepare
from segda_core.errors import ConfigError
from segda_core.files import write_json
from segda_core.trials.layout import TrialFiles
from sweeps import load

BASE = {"steps": 5, "method": {"name": "joint"}, "optimizer": {"name": "sgd"}}
SPACE = {"optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
TPE = {"space": SPACE, "algorithm": "tpe", "trials": 4}


def a_search(folder: Path, *overrides: str, **changes: Any) -> Sweep:
    return load(folder, *overrides, base=BASE, search={**TPE, **changes})


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
    expansion = expand(taken_up(a_search(tmp_path), runs))
    assert [trial.id for trial in expansion.trials] == [each.trial.id for each in before if each]
    assert "search: 2 more trials are proposed as results come in" in expansion.notes
    fewer = expand(taken_up(a_search(tmp_path, trials=1), runs))
    assert "search: trials is 1, but 2 were proposed before; all of them stay" in fewer.notes


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
    with pytest.raises(ConfigError, match="--set: the search demo has begun with other settings"):
        taken_up(a_search(tmp_path, "steps=7"), runs)
    proposal = proposing(load(tmp_path, base={**BASE, "steps": 7}, search=TPE), runs).propose()
    assert proposal is not None
    assert read_plan(runs, "demo") == {"toy": [proposal.trial.id]}, "without what the file makes no more"


@pytest.mark.processes
def test_images_and_executor_are_looked_for_before_the_first_proposal(tmp_path: Path) -> None:
    search = {**TPE, "space": {"ranks": {"choice": [1, 2]}, **SPACE}}
    surveyed = survey(load(tmp_path, base=BASE, search=search), tmp_path / "runs", [], None, [])
    assert surveyed.trials == [] and {trial.config.ranks for trial in surveyed.ends} == {1, 2}
    assert "render/images: folder cannot be read" in problems(surveyed.manifests.values())[0]


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


def test_the_best_is_a_sweep_over_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    executor = {"name": "slurm", "partition": "gpu"}
    search = {"trials": 3, "space": SPACE}
    sweep = load(tmp_path, "batch_size=4", base=BASE, search=search, executor=executor)
    expansion = expand(sweep)
    assert write_best(sweep, expansion, runs) is None
    for trial, miou in zip(expansion.trials, (0.2, 0.3, None), strict=True):
        finish(trial, runs, miou)
    path = write_best(sweep, expansion, runs)
    assert path == runs / "demo" / "demo_best.yaml"
    again = load_sweep(str(path))
    best = expand(again).trials
    assert [trial.config.seed for trial in best] == [0, 1, 2]
    rate = expansion.trials[1].config.optimizer.lr
    assert all((trial.config.optimizer.lr, trial.config.batch_size) == (rate, 4) for trial in best)
    assert best[0].id == expansion.trials[1].id and best[0].sweep == "demo_best"
    assert again.executor.model_dump(exclude_unset=True) == executor


def notes(folder: Path, **executor: Any) -> list[str]:
    sweep, runs = load(folder, base=BASE, search=TPE, executor=executor), folder / "runs"
    ends = ends_of_search(sweep)
    surveyed = Survey(sweep, expand(sweep), [], runs, {}, None, Requests(), ends)
    with open_places(sweep.stages, ends, surveyed.surroundings()) as places:
        return blindness(surveyed, places)


def test_a_search_whose_trials_may_all_run_at_once_is_said_to_learn_nothing(tmp_path: Path) -> None:
    (note,) = notes(tmp_path, name="slurm")
    assert "but all 4 may run at once here; --max-parallel N" in note
    assert notes(tmp_path, name="slurm", max_parallel=3) == []


def finish(trial: Trial, runs: Path, miou: float | None) -> None:
    """With a result, or stopped on the way after a better one."""
    files = prepare(trial, runs)
    files.attempt(1).root.mkdir(parents=True)
    if miou is None:
        files.attempt(1).history.write_text('{"step": 2, "miou": 0.9}\n')
        write_json(files.attempt(1).stopped, {"by": "asha", "step": 2, "miou": 0.9})
        write_outcome(files.attempt(1), BY_SEARCH)
    else:
        write_json(files.metrics, {"attempt": 1, "steps": 5, "images_per_second": 1.0, "miou": miou})
