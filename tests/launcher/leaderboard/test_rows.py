"""Grouping: what makes a row, its mean and spread, and which axes get a column."""

import json
import shutil

import pytest
import yaml
from hand_made_runs import make_metrics

from launcher.leaderboard.collect import collect
from launcher.leaderboard.group import build_tables
from launcher.trials.prepare import read_config
from segda_core.files import write_json


def tables(board, **options):
    return build_tables(collect([board.sweep], board.runs, **options))


def rows(board, **options):
    (table,) = tables(board, **options)
    return {(row.method, row.size, *row.axes.values()): row for row in table.rows}


def test_mean_and_sample_std_over_seeds(board):
    for seed, miou in enumerate((0.30, 0.36, 0.33)):
        board.trial(miou, seed=seed)
    (row,) = rows(board).values()
    assert row.mean == pytest.approx(0.33)
    assert row.std == pytest.approx(0.03)  # sqrt((0.03**2 + 0.03**2 + 0) / 2)
    assert (len(row.counted), row.planned, row.complete) == (3, 3, True)
    assert row.iou("road") == pytest.approx(0.33)


def test_one_seed_has_no_std(board):
    board.trial(0.3)
    (row,) = rows(board).values()
    assert row.std is None


def test_subset_seeds_are_averaged_over_too(board):
    for seed, miou in enumerate((0.2, 0.4)):
        board.trial(miou, method="joint", target__subset__size=10, target__subset__seed=seed)
    (row,) = rows(board).values()
    assert row.mean == pytest.approx(0.3)


def test_what_follows_from_method_and_size_gets_no_column(board):
    for method in ("source_only", "supervised", "joint", "adaptsegnet"):
        for size in (10, 40):
            board.trial(0.3, method=method, target__subset__size=size)
    (table,) = tables(board)
    assert table.axes == []
    assert {(row.method, row.size, row.labelled) for row in table.rows} == {
        ("source_only", None, None),
        ("supervised", 10, 10),
        ("supervised", 40, 40),
        ("joint", 10, 10),
        ("joint", 40, 40),
        ("adaptsegnet", 10, None),
        ("adaptsegnet", 40, None),
    }


def test_a_block_of_options_that_only_some_have_tells_rows_apart(board):
    plain = {"name": "ema_classmix", "alpha": 0.9}
    for seed in (0, 1):
        board.trial(0.2, method=plain, seed=seed)
        board.trial(0.3, method={**plain, "masked": {"patch": 16}}, seed=seed)
    (table,) = tables(board)
    assert {row.method: (len(row.counted), row.mean) for row in table.rows} == {
        "ema_classmix": (2, pytest.approx(0.2)),
        "ema_classmix (masked)": (2, pytest.approx(0.3)),
    }
    board.trial(0.4, method={**plain, "masked": {"patch": 32}})
    (table,) = tables(board)
    assert {row.method for row in table.rows} == {
        "ema_classmix",
        "ema_classmix (masked.patch 16)",
        "ema_classmix (masked.patch 32)",
    }


def test_variants_of_a_method_are_rows_told_by_what_differs(board):
    for gan in ("bce", "lsgan"):
        board.trial(0.3, method={"name": "adaptsegnet", "gan": gan, "channels": 16})
    board.trial(0.3)
    assert {method for method, _ in rows(board)} == {
        "adaptsegnet (gan bce)",
        "adaptsegnet (gan lsgan)",
        "source_only",
    }


def test_an_axis_of_the_sweep_is_a_column_with_defaults_filled_in(board):
    for jitter in (0.0, 0.25):
        board.trial(0.3, transforms__source__jitter=jitter, point=("method", "transforms.source.jitter"))
    (table,) = tables(board)
    assert table.axes == ["transforms.source.jitter"]
    assert sorted(row.axes["transforms.source.jitter"] for row in table.rows) == ["0.0", "0.25"]


def test_a_named_choice_is_one_column(board):
    for model in ({"name": "tiny"}, {"name": "tiny", "width": 8}, {"name": "lite0", "weights": "none"}):
        board.trial(0.3, model=model, point=("model",))
    (table,) = tables(board)
    assert table.axes == ["model"]
    assert {row.axes["model"] for row in table.rows} == {"tiny (width 16)", "tiny (width 8)", "lite0"}


BLOCKS = {
    "none": None,
    "image (ramp 9)": {"image": {"ramp": 9}},
    "image": {"image": {}, "dimension": 128},
    "image, prototype": {"image": {}, "prototype": {"start": 60}},
    "image, histograms raw": {"image": {}, "histograms": "raw"},
    "prototype": {"prototype": {"start": 60}},
}
"""What the leaderboard says of a block of options -> the block."""


def test_a_block_of_options_is_one_column_with_what_each_sets(board):
    for contrastive in BLOCKS.values():
        board.trial(0.3, contrastive=contrastive, point=("contrastive",))
    (table,) = tables(board)
    assert table.axes == ["contrastive"]
    assert {row.axes["contrastive"] for row in table.rows} == BLOCKS.keys()
    assert len(table.rows) == len(BLOCKS)


def test_a_block_that_all_have_alike_is_on(board):
    for sampling in (None, {}):
        board.trial(0.3, rare_class_sampling=sampling, point=("rare_class_sampling",))
    (table,) = tables(board)
    assert {row.axes["rare_class_sampling"] for row in table.rows} == {"none", "on"}


def test_an_axis_given_as_a_mapping_shows_only_what_varies(board):
    for crop in ([64, 32], [96, 48]):
        board.trial(0.3, transforms__source={"crop": crop, "jitter": 0.1}, point=("transforms.source",))
    (table,) = tables(board)
    assert table.axes == ["transforms.source.crop"]
    assert {row.axes["transforms.source.crop"] for row in table.rows} == {"[64, 32]", "[96, 48]"}


def test_trials_that_differ_without_an_axis_are_not_averaged(board):
    board.trial(0.3)
    board.trial(0.5, steps=50, plan=False)
    (table,) = tables(board, all_trials=True)
    assert table.axes == ["steps"]
    assert {(row.axes["steps"], row.mean) for row in table.rows} == {("200", 0.3), ("50", 0.5)}


def test_sources_are_named(board):
    board.trial(0.3, point=("source",))
    board.trial(0.4, source=[{"name": "render"}, {"name": "render", "holdout": 0.5}], point=("source",))
    (table,) = tables(board)
    shown = {row.axes["source"] for row in table.rows}
    assert "render" in shown
    assert any("holdout" in value for value in shown)


def test_an_unfinished_row_keeps_its_place_in_the_plan(board):
    board.trial(0.3, seed=0)
    board.trial(seed=1)
    (row,) = rows(board).values()
    assert (row.mean, row.complete, len(row.counted), row.planned) == (0.3, False, 1, 2)


def test_a_planned_trial_without_a_directory_belongs_to_the_row_of_its_label(board):
    done = board.trial(0.3, method="joint", target__subset__size=10)
    other = board.trial(0.4, method="joint", target__subset__size=40)
    board.plan_only(done.root.name.rsplit("-", 2)[0] + "-s1-0123456789ab")
    found = rows(board)
    assert found["joint", 10].planned == 2
    assert not found["joint", 10].complete
    assert other.root.name.startswith("joint-streets-n40")
    assert found["joint", 40].complete


def test_where_rows_share_a_label_none_is_complete(board):
    for gan in ("bce", "lsgan"):
        files = board.trial(0.3, method={"name": "adaptsegnet", "gan": gan}, target__subset__size=10)
    board.plan_only(files.root.name.rsplit("-", 2)[0] + "-s1-0123456789ab")
    found = rows(board).values()
    assert [row.complete for row in found] == [False, False]
    assert all("missing here or in a row like it" in row.others[0] for row in found)


def test_results_of_two_protocols_are_never_averaged(board):
    first = board.trial(0.3, seed=0)
    second = board.trial(0.5, seed=1, changes={"protocol": {"name": "single", "split_manifest": "bbbb"}})
    (table,) = tables(board)
    assert {(row.mean, row.planned, row.complete) for row in table.rows} == {
        (0.3, 2, False),
        (0.5, 2, False),
    }
    assert {record.id for record in table.records} == {first.root.name, second.root.name}


def test_one_table_per_data_name(board):
    board.trial(0.3)
    board.trial(0.4, data__name="night")
    assert [table.data for table in tables(board)] == ["night", "streets"]


def test_no_trials_no_tables(board):
    assert tables(board) == []


def test_class_means_leave_undeclared_classes_out(board):
    for seed, miou in enumerate((0.2, 0.4)):
        board.trial(miou, seed=seed, evaluation={"size": [192, 96], "classes": ["road", "car"]})
    (table,) = tables(board)
    (row,) = table.rows
    assert table.classes == ["road", "car"]
    assert row.iou("car") == pytest.approx(0.3)
    assert row.iou("train") is None


def test_stages_are_rows_of_their_own(board):
    for seed in (0, 1):
        board.trial(0.2, stage="pretrain", seed=seed)
        board.trial(0.3, stage="adapt", method="joint", seed=seed, parents={"seed": seed})
        board.trial(0.1, stage="again", seed=seed, parents={"seed": seed})
    found = rows(board)
    assert {key: row.mean for key, row in found.items()} == {
        ("source_only", None, "pretrain"): pytest.approx(0.2),
        ("joint", "all", "adapt"): pytest.approx(0.3),
        ("source_only", None, "again"): pytest.approx(0.1),
    }
    assert all(row.complete for row in found.values())


def test_one_stage_alone_gets_no_column(board):
    board.trial(0.3, stage="adapt", method="joint", parents={"seed": 0})
    (table,) = tables(board)
    assert table.axes == []


def test_children_of_different_parents_are_not_averaged(board):
    for miou, method in ((0.2, "source_only"), (0.4, "supervised")):
        for seed in (0, 1):
            parents = {"method": {"name": method}, "seed": seed}
            board.trial(miou, point=("seed",), stage="adapt", method="joint", seed=seed, parents=parents)
    (table,) = tables(board)
    assert table.axes == ["parent's method"]
    assert {row.axes["parent's method"]: row.mean for row in table.rows} == {
        "source_only": pytest.approx(0.2),
        "supervised": pytest.approx(0.4),
    }


def test_a_parent_whose_axis_has_the_childs_own_value_is_told_too(board):
    """The child sets its method, as an axis of its parents does."""
    for miou, method in ((0.2, "source_only"), (0.4, "joint")):
        parent = board.trial(0.1, point=("method",), stage="pretrain", method=method)
        axes = {"method": {"name": method}}
        board.trial(miou, point=(), stage="adapt", method="joint", of=parent, parents=axes)
    adapted = [row for row in rows(board).values() if row.axes["stage"] == "adapt"]
    assert sorted(row.mean or 0.0 for row in adapted) == [pytest.approx(0.2), pytest.approx(0.4)]
    assert all(row.axes["parent's method"] for row in adapted)


def test_parents_that_differ_by_no_axis_are_told_apart_too(board):
    """A sweep that was changed between two launches, or two sweeps."""
    for miou, steps in ((0.2, 100), (0.4, 300)):
        for seed in (0, 1):
            parent = board.trial(0.1, point=("seed",), stage="pretrain", steps=steps, seed=seed)
            board.trial(miou, point=("seed",), stage="adapt", method="joint", seed=seed, of=parent)
    found = {row.axes["parent's steps"]: row for row in rows(board).values() if row.axes["stage"] == "adapt"}
    assert {steps: (row.mean, row.planned) for steps, row in found.items()} == {
        "100": (pytest.approx(0.2), 2),
        "300": (pytest.approx(0.4), 2),
    }


def test_trials_that_train_no_segmenter_are_not_ranked(board):
    files = board.trial(stage="labels")
    config = yaml.safe_load(files.config.read_text())
    kept = {key: config[key] for key in ("data", "target", "evaluation")}
    kept["target"] = {"name": kept["target"]["name"]}
    files.config.write_text(yaml.safe_dump({"task": "pseudo_label", **kept}))
    board.trial(0.3, stage="adapt", method="joint")
    found = collect([board.sweep], board.runs)
    assert ([record.stage for record in found.records], found.problems) == (["adapt"], [])


def test_a_row_says_before_it_has_a_result_that_it_uses_target_labels(board):
    oracle = board.trial(method="student_oracle_teacher", stage="oracle")
    selftrain = board.trial(method="student_selftrain", stage="selftrain")
    labelled = board.trial(0.5, method="joint", stage="labelled")
    board.trial(stage="later", of=board.trial(stage="below", of=labelled))
    found = {row.axes["stage"]: row for row in rows(board).values()}
    assert {stage: row.uses_target_labels for stage, row in found.items()} == {
        "oracle": True,
        "selftrain": False,
        "labelled": True,
        "below": True,
        "later": True,
    }
    assert found["oracle"].labelled is None
    write_json(oracle.metrics, make_metrics(read_config(oracle), 0.4, uses_target_labels=True))
    write_json(selftrain.metrics, make_metrics(read_config(selftrain), 0.4))
    found = {row.axes["stage"]: row.uses_target_labels for row in rows(board).values()}
    assert (found["oracle"], found["selftrain"]) == (True, False)


def test_what_one_sweep_sets_otherwise_than_another_gets_a_column(board):
    """Else a ranking would compare trainings of other lengths as equals."""
    board.trial(0.2, steps=100)
    board.trial(0.3, steps=100, method="joint", transforms__target={"crop": [64, 32]})
    again = type(board)(board.runs, "again")
    again.trial(0.5, steps=300, method="supervised", transforms__target={"crop": [64, 32]})
    (table,) = build_tables(collect(["demo", "again"], board.runs))
    assert table.axes == ["steps"]
    assert {row.method: row.axes["steps"] for row in table.rows} == {
        "source_only": "100",
        "joint": "100",
        "supervised": "300",
    }


def with_parents(child, **parents):
    """A trial made of several others, by role."""
    said = json.loads(child.trial.read_text())
    said["parents"] = {role: {"trial": parent.root.name} for role, parent in parents.items()}
    write_json(child.trial, said)


def of_stage(board, stage, *sweeps):
    (table,) = build_tables(collect([board.sweep, *sweeps], board.runs))
    return [row for row in table.rows if row.axes["stage"] == stage], table.axes


def test_a_row_whose_seed_lost_its_parent_stays_one(board):
    for seed in (0, 1, 2):
        parent = board.trial(0.1, point=("seed",), stage="pretrain", seed=seed)
        board.trial(0.3, point=("seed",), stage="adapt", method="joint", seed=seed, of=parent)
    shutil.rmtree(parent.root)
    (row,), axes = of_stage(board, "adapt")
    assert (row.planned, len(row.counted), axes) == (3, 3, ["stage"])


def test_the_order_of_roles_and_an_ancestor_of_several_set_nothing_apart(board):
    """Of seed 0 the teacher's parent is what the child starts from as well."""
    first = board.trial(0.1, point=("seed",), stage="pretrain", seed=0)
    for seed in (0, 1):
        start = first if seed == 0 else board.trial(0.1, point=("seed",), stage="pretrain", seed=seed)
        teacher = board.trial(0.2, point=("seed",), stage="teacher", seed=seed, of=first)
        child = board.trial(0.3, point=("seed",), stage="adapt", method="joint", seed=seed, of=start)
        roles = {"init_from": start, "teacher": teacher}
        with_parents(child, **(roles if seed else dict(reversed(roles.items()))))
    (row,), axes = of_stage(board, "adapt")
    assert (row.planned, axes) == (2, ["stage"])


def test_what_parents_and_those_above_them_differ_in_is_told_of_each(board):
    again = type(board)(board.runs, "again")
    for sweep, steps, miou in ((board, 100, 0.3), (again, 300, 0.4)):
        above = sweep.trial(0.1, stage="pretrain", steps=steps)
        parent = sweep.trial(0.2, stage="between", method="supervised", of=above)
        child = sweep.trial(miou, stage="adapt", method="joint", of=parent)
        child.root.rename(child.root.with_name(f"{child.root.name}{steps}"))
        sweep.plan_only(f"{child.root.name}{steps}")
    found, axes = of_stage(board, "adapt", "again")
    assert "grandparent's steps" in axes
    assert {row.axes["grandparent's steps"]: row.mean for row in found} == {"100": 0.3, "300": 0.4}


def test_parents_of_another_task_are_told_apart_too(board):
    """One sweep learns what a translation made, another one starts from weights, under one role."""
    again = type(board)(board.runs, "again")
    for sweep, task in ((board, "train"), (again, "pseudo_label")):
        parent = sweep.trial(stage="before")
        child = sweep.trial(0.3, stage="adapt", method="joint", of=parent)
        child.root.rename(child.root.with_name(f"{child.root.name}{task}"))
        sweep.plan_only(f"{child.root.name}{task}")
        if task == "pseudo_label":
            config = yaml.safe_load(parent.config.read_text())
            kept = {key: config[key] for key in ("data", "target", "evaluation")}
            parent.config.write_text(yaml.safe_dump({"task": task, **kept, "target": {"name": "camera"}}))
    found, _ = of_stage(board, "adapt", "again")
    assert sorted(row.axes["parent's method"] for row in found) == ["", "source_only"]
