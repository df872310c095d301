"""Reading runs folders: the plan, states, and whatever may be broken in them."""

import json

import pytest

from launcher.leaderboard.collect import Today, collect
from segda_core.errors import ConfigError, load_yaml
from segda_core.files import read_json, write_json, write_text


def test_only_the_plan_is_covered_unless_all_is_asked(board):
    planned = board.trial(0.5)
    other = board.trial(0.6, plan=False, seed=7)
    assert [record.id for record in collect(["demo"], board.runs).records] == [planned.root.name]
    everything = collect(["demo"], board.runs, all_trials=True)
    assert {record.id for record in everything.records} == {planned.root.name, other.root.name}


def test_result_and_axes_are_read(board):
    board.trial(0.5, method="joint", target__subset__size=10, point=("method", "seed"))
    (record,) = collect(["demo"], board.runs).records
    assert record.counted
    assert record.result.miou == 0.5
    assert record.result.labelled_images == 10
    assert record.config.method.name == "joint"
    assert record.axes == {"method", "seed"}


def test_changed_images_are_stale_and_other_code_is_marked(board):
    files = board.trial(0.5)
    today = Today({files.root.name: "now"}, "def")
    (record,) = collect(["demo"], board.runs, today=today).records
    assert record.stale
    assert not record.counted
    (record,) = collect(["demo"], board.runs, today=Today({files.root.name: "then"}, "def")).records
    assert record.counted
    assert record.older_code
    (record,) = collect(["demo"], board.runs).records
    assert record.counted
    assert not record.older_code


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"miou": 0.5', "metrics.json: cannot be read"),
        ("[]", "metrics.json: cannot be read"),
        ("{}", "metrics.json: cannot be read: no field"),
        (None, "metrics.json: miou"),
    ],
)
def test_a_broken_result_is_a_problem_and_no_crash(board, content, said):
    files = board.trial(0.5)
    broken = json.loads(files.metrics.read_text())
    broken["miou"] = "half"
    files.metrics.write_text(json.dumps(broken) if content is None else content)
    found = collect(["demo"], board.runs)
    (record,) = found.records
    assert not record.counted
    assert said in record.problem
    assert found.problems == [record.problem]
    assert str(files.metrics) in record.problem


def test_a_broken_outcome_is_a_problem_that_names_the_trial(board):
    files = board.trial()
    write_text(files.attempt(1).outcome, '{"status": "fai')
    found = collect(["demo"], board.runs)
    assert [record.status for record in found.records] == [None]
    assert found.problems[0].startswith(f"{files.root}: cannot be read")


def test_a_config_that_no_longer_fits_is_a_problem(board):
    files = board.trial(0.5)
    files.config.write_text(files.config.read_text().replace("steps: 200", "steps: -1"))
    found = collect(["demo"], board.runs)
    assert found.records == []
    assert len(found.problems) == 1
    assert "config.yaml: steps" in found.problems[0]


def test_config_in_another_yaml_form_is_read_whole(board):
    files = board.trial(0.5)
    files.config.write_text(json.dumps(load_yaml(files.config)))  # JSON is YAML, with no block at the margin
    (record,) = collect(["demo"], board.runs).records
    assert record.config.steps == 200


def test_planned_trials_without_a_directory_are_listed(board):
    board.plan_only("joint-streets-n10-s0-0123456789ab")
    found = collect(["demo"], board.runs)
    assert found.unprepared == {"streets": ["joint-streets-n10-s0-0123456789ab"]}


@pytest.mark.parametrize("content", [None, "{", "[]", '{"data": 3}', "{}"])
def test_without_a_plan_every_directory_is_shown(board, content):
    board.trial(0.5)
    plan = board.root / "plan.json"
    plan.unlink() if content is None else plan.write_text(content)
    found = collect(["demo"], board.runs)
    assert len(found.records) == 1
    assert "every trial on disk is shown instead" in found.problems[0]


def test_an_unknown_sweep_is_refused_with_a_suggestion(board):
    with pytest.raises(ConfigError, match=r"no sweep 'dmo' in .*did you mean 'demo'"):
        collect(["dmo"], board.runs)
    with pytest.raises(ConfigError, match="there are: none"):
        collect(["demo"], board.runs / "nowhere")


def test_the_same_trial_in_two_sweeps_counts_once_finished_first(board):
    finished = board.trial(0.5)
    again = type(board)(board.runs, "again")
    again.trial()
    for names in (["demo", "again"], ["again", "demo"]):
        (record,) = collect(names, board.runs).records
        assert record.counted
        assert (record.sweep, record.id) == ("demo", finished.root.name)


def test_what_one_sweep_only_plans_and_another_finished_is_planned_once(board):
    finished = board.trial(0.5)
    again = type(board)(board.runs, "again")
    again.plan_only(finished.root.name)
    again.plan_only("joint-streets-n10-s0-0123456789ab")
    board.plan_only("joint-streets-n10-s0-0123456789ab")
    found = collect(["again", "demo"], board.runs)
    assert [record.id for record in found.records] == [finished.root.name]
    assert found.unprepared == {"streets": ["joint-streets-n10-s0-0123456789ab"]}


@pytest.mark.parametrize("names", [["demo", "again"], ["again", "demo"]])
def test_of_a_trial_in_two_sweeps_the_one_that_got_further_is_shown(board, names):
    board.outcome(board.trial(), status="failed", cause="nan")
    type(board)(board.runs, "again").trial()
    (record,) = collect(names, board.runs).records
    assert record.status.cause == "nan"


def test_a_planned_trial_that_cannot_be_read_keeps_its_row_incomplete(board):
    board.trial(0.5, seed=0)
    broken = board.trial(0.5, seed=1)
    broken.config.write_text("steps: many\n")
    found = collect(["demo"], board.runs)
    assert len(found.records) == 1 and len(found.problems) == 1
    assert found.unprepared == {"streets": [broken.root.name]}


@pytest.mark.parametrize("changes", [{"point": None}, {"stage": ["a"]}, {"point": []}])
def test_a_trial_json_of_an_odd_shape_still_has_its_result(board, changes):
    files = board.trial(0.5)
    write_json(files.trial, {**read_json(files.trial), **changes})
    (record,) = collect(["demo"], board.runs).records
    assert record.counted and record.stage is None


def test_a_trial_that_is_its_own_parent_hangs_nothing(board):
    files = board.trial(0.5)
    write_json(files.trial, {**read_json(files.trial), "parents": {"init_from": {"trial": files.root.name}}})
    (record,) = collect(["demo"], board.runs).records
    assert record.counted
