"""Ranks: among complete rows of one protocol, size and set of seeds, and nowhere else."""

import yaml

from launcher.leaderboard.collect import Today, collect
from launcher.leaderboard.group import build_tables
from launcher.leaderboard.rank import rank


def sections(board, today=None, **options):
    (table,) = build_tables(collect([board.sweep], board.runs, today=today, **options))
    return rank(table)


def ranks(section):
    return [(entry.row.method, entry.rank) for entry in section.entries]


def test_a_row_without_target_size_is_ranked_at_every_size(board):
    board.trial(0.30, method="source_only")
    for size, joint, supervised in ((10, 0.35, 0.25), (40, 0.45, 0.40)):
        board.trial(joint, method="joint", target__subset__size=size)
        board.trial(supervised, method="supervised", target__subset__size=size)
    small, large = sections(board)
    assert (small.size, large.size) == (10, 40)
    assert ranks(small) == [("joint", 1), ("source_only", 2), ("supervised", 3)]
    assert ranks(large) == [("joint", 1), ("supervised", 2), ("source_only", 3)]


def test_sizes_ascend_and_all_comes_last(board):
    for size in ("all", 160, 10, 40):
        board.trial(0.3, method="joint", target__subset__size=size)
    assert [section.size for section in sections(board)] == [10, 40, 160, "all"]


def test_equal_scores_share_a_rank(board):
    board.trial(0.3, method="joint", target__subset__size=10)
    board.trial(0.3, method="supervised", target__subset__size=10)
    board.trial(0.2, method="adaptsegnet", target__subset__size=10)
    (section,) = sections(board)
    assert ranks(section) == [("joint", 1), ("supervised", 1), ("adaptsegnet", 3)]


def test_a_row_with_a_missing_seed_is_never_ranked(board):
    for seed in (0, 1):
        board.trial(0.3, seed=seed, method="joint", target__subset__size=10)
    board.trial(0.9, seed=0, method="supervised", target__subset__size=10)
    board.trial(seed=1, method="supervised", target__subset__size=10)
    (section,) = sections(board)
    assert ranks(section) == [("joint", 1), ("supervised", None)]
    assert section.entries[1].marks == ["missing"]


def test_a_score_without_some_validation_images_is_marked(board):
    for seed, skipped in enumerate(([], ["a.png", "b.png"], ["a.png"])):
        board.trial(0.3, seed=seed, changes={"validation_skipped": skipped})
    board.trial(0.2, method="joint")
    board.trial(0.1, method="supervised", changes={"validation_skipped": ["a.png"]})
    (section,) = sections(board)
    found = {entry.row.method: [mark for mark in entry.marks if "image" in mark] for entry in section.entries}
    assert found == {
        "source_only": ["2 validation images skipped"],
        "joint": [],
        "supervised": ["1 validation image skipped"],
    }


def test_other_seeds_are_not_compared(board):
    for method in ("joint", "adaptsegnet"):
        for seed in (0, 1):
            board.trial(0.3, seed=seed, method=method, target__subset__size=10)
    board.trial(0.9, seed=0, method="supervised", target__subset__size=10)
    (section,) = sections(board)
    assert ranks(section) == [("adaptsegnet", 1), ("joint", 1), ("supervised", None)]
    assert section.entries[2].marks == ["other seeds"]


def test_subset_seeds_do_not_keep_source_only_out(board):
    board.trial(0.2)
    for seed in (0, 1):
        board.trial(0.3, method="joint", target__subset__size=10, target__subset__seed=seed)
    (section,) = sections(board)
    assert ranks(section) == [("joint", 1), ("source_only", 2)]


def test_protocols_never_share_a_rank_and_are_named(board):
    board.trial(0.3)
    board.trial(0.4, evaluation__protocol="mirror")
    mirror, single = sections(board)
    assert (mirror.protocol, single.protocol) == ("mirror", "single")
    assert ranks(mirror) == ranks(single) == [("source_only", 1)]


def test_protocols_of_one_name_say_what_differs(board):
    board.trial(0.3)
    board.trial(0.4, evaluation={"size": [192, 96], "classes": ["road", "car"]})
    labels = [section.protocol for section in sections(board)]
    assert labels == ["single (19 classes)", "single (2 classes)"]


def test_a_newer_data_version_is_another_protocol(board):
    board.trial(0.3)
    board.trial(0.4, data__version=2, plan=True)
    assert [section.protocol for section in sections(board)] == ["single (version 1)", "single (version 2)"]


def test_a_row_without_results_waits_beside_those_it_will_be_compared_with(board):
    board.trial(0.3, method="joint", target__subset__size=10)
    board.trial(method="supervised", target__subset__size=10)
    (section,) = sections(board)
    assert ranks(section) == [("joint", 1), ("supervised", None)]


def test_a_stale_trial_is_shown_and_not_ranked(board):
    files = board.trial(0.3, method="joint", target__subset__size=10)
    board.trial(0.2, method="supervised", target__subset__size=10)
    (section,) = sections(board, Today({files.root.name: "now"}))
    assert ranks(section) == [("supervised", 1), ("joint", None)]
    assert section.entries[1].marks == ["stale"]
    assert section.entries[1].row.mean == 0.3


def test_older_code_is_ranked_with_a_mark(board):
    board.trial(0.3, seed=0)
    board.trial(0.3, seed=1, changes={"code": {"commit": "def", "diff_hash": ""}})
    (section,) = sections(board, Today(commit="abc"))
    assert ranks(section) == [("source_only", 1)]
    assert section.entries[0].marks == ["1 with older code"]
    (section,) = sections(board, Today(commit="xyz"))
    assert section.entries[0].marks == ["older code"]


def test_marks_say_why_trials_do_not_count(board):
    for seed in (0, 1):
        board.outcome(board.trial(seed=seed), status="failed", cause="oom")
    board.outcome(board.trial(seed=2), status="stopped")
    board.trial(0.3, seed=3).metrics.write_text("{")
    board.trial(seed=4).cancel.touch()
    board.plan_only("source_only-streets-s5-0123456789ab")
    (section,) = sections(board)
    (entry,) = section.entries
    assert entry.marks == ["2 failed: oom", "stopped", "unreadable", "cancelled", "missing"]
    assert entry.row.planned == 6


def translation(board, size, **values):
    """A trial on images of a network that was trained with `size` target images."""
    crops = {"source": {"crop": [64, 32]}, "target": {"crop": [64, 32]}}
    network = board.trial(
        stage="translator", method="cyclegan", model=None, transforms=crops, target__subset__size=size
    )
    images = board.trial(stage="images", of=network)
    kept = {key: value for key, value in yaml.safe_load(images.config.read_text()).items() if key == "data"}
    images.config.write_text(yaml.safe_dump({"task": "translate", "source": [{"name": "render"}], **kept}))
    return board.trial(stage="adapt", of=images, **values)


def test_a_row_is_compared_at_the_most_target_images_that_anything_above_it_opened(board):
    for size in (10, 40):
        board.trial(0.2, stage="plain", method="joint", target__subset__size=size)
        board.trial(0.25, stage="plain", method="adaptsegnet", target__subset__size=size)
    translation(board, 40, miou=0.9)
    translation(board, 40, miou=0.8, method="adaptsegnet", target__subset__size=10)
    translation(board, 10, miou=0.7, method="supervised", target__subset__size=40)
    small, large = sections(board)
    assert (small.size, large.size) == (10, 40)
    assert ranks(small) == [("adaptsegnet", 1), ("joint", 2)]
    assert ranks(large) == [
        ("source_only", 1),
        ("adaptsegnet", 2),
        ("supervised", 3),
        ("adaptsegnet", 4),
        ("joint", 5),
    ]
    above = "40 target images opened above"
    assert [entry.marks for entry in large.entries] == [[above], [above], [], [], []]


def test_rows_that_opened_unlike_sizes_themselves_are_apart_below_one_ancestor(board):
    for size in (10, 40):
        translation(board, "all", miou=size / 100, method="adaptsegnet", target__subset__size=size)
    (section,) = sections(board)
    assert section.size == "all"
    assert [(e.row.own_size, e.row.mean, e.rank) for e in section.entries] == [(40, 0.4, 1), (10, 0.1, 2)]


def test_a_result_without_its_ancestors_is_a_problem(board):
    files = board.trial(0.3, parents={"seed": 0})
    (problem,) = collect([board.sweep], board.runs).problems
    assert problem.startswith(f"{files.root}: made from ") and "which is gone" in problem


def test_a_result_below_a_broken_configuration_stays_and_is_a_problem(board):
    parent = board.trial(0.1, stage="pretrain", seed=1)
    child = board.trial(0.3, stage="adapt", of=parent)
    parent.config.write_text("steps: many\n")
    found = collect([board.sweep], board.runs)
    assert [record.id for record in found.records] == [child.root.name]
    assert any(f"{child.root}: made from {parent.root.name}" in problem for problem in found.problems)


def test_images_that_training_did_without_and_resized_labels_are_marked(board):
    board.trial(0.3, changes={"training_skipped": ["a.png"], "labels_resized": 3})
    (section,) = sections(board)
    assert section.entries[0].marks == ["1 training image skipped", "3 labels resized"]


def test_labels_that_a_parent_learnt_are_marked_where_it_had_more(board):
    parent = board.trial(0.2, stage="pretrain", method="supervised", target__subset__size=40)
    for method in ("joint", "supervised"):
        size = 10 if method == "joint" else 160
        board.trial(0.3, stage="adapt", method=method, target__subset__size=size, of=parent)
    marks = {entry.row.method: entry.marks for section in sections(board) for entry in section.entries}
    assert marks["joint"] == ["40 labelled target images opened above"]
    assert marks["supervised"] == []


def test_protocols_that_count_as_many_classes_are_told_apart(board):
    for miou, classes in ((0.3, ["road", "car"]), (0.4, ["road", "sky"])):
        board.trial(miou, evaluation={"size": [192, 96], "classes": classes})
    assert [(section.protocol, ranks(section)) for section in sections(board)] == [
        ("single (2 classes with car)", [("source_only", 1)]),
        ("single (2 classes with sky)", [("source_only", 1)]),
    ]


def test_protocols_whose_words_are_cut_alike_get_numbers(board):
    for miou, manifest in ((0.3, "a" * 30), (0.4, "a" * 31)):
        changes = {"protocol": {"name": "single", "split_manifest": manifest, "classes": ["road"]}}
        board.trial(miou, method="joint", steps=int(100 * miou), changes=changes)
    labels = [section.protocol for section in sections(board)]
    assert labels == [f"single (split_manifest {'a' * 24}) #{number}" for number in (1, 2)]


def test_rows_with_other_seeds_of_the_target_subset_are_not_compared(board):
    for subset_seed in (0, 1):
        changes = {"target__subset__size": 10, "target__subset__seed": subset_seed}
        for method in ("joint", "adaptsegnet"):
            board.trial(0.3, method=method, **changes)
    board.trial(0.9, method="supervised", target__subset__size=10)
    board.trial(0.2)
    (section,) = sections(board)
    assert ranks(section) == [("adaptsegnet", 1), ("joint", 1), ("source_only", 3), ("supervised", None)]


def test_a_seed_of_the_target_subset_that_chooses_nothing_is_no_other_seed(board):
    """Of all images, or of the first by name."""
    for seed in (0, 1):
        board.trial(0.3, method="joint", seed=seed, target__subset__seed=seed)
        board.trial(0.4, method="supervised", seed=seed)
    (section,) = sections(board)
    assert ranks(section) == [("supervised", 1), ("joint", 2)]


def test_a_protocol_of_an_odd_shape_takes_nothing_else_off_the_board(board):
    board.trial(0.3)
    board.trial(0.4, method="joint", changes={"protocol": {"name": "single", "classes": None}})
    assert len(sections(board)) == 2
