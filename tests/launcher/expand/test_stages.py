"""Sweeps with stages: which trials they make, whose children these are, and what their ids hold."""

import time
from pathlib import Path
from typing import Any

import pytest

from launcher.launching.manifest import selection_key
from launcher.sweep import expand
from launcher.trial import Trial, fingerprint
from segda_core.errors import ConfigError
from segda_core.trials.tasks import PseudoLabelConfig, TranslateConfig
from sweeps import expanded, load, write_profile, write_sweep

SOURCE_ONLY = {"name": "source_only"}
JOINT = {"name": "joint"}
PRETRAIN = {"task": "train", "base": {"method": SOURCE_ONLY}}
ADAPT = {"task": "train", "from": {"init_from": "pretrain"}, "base": {"method": JOINT}}


def stages(folder: Path, *overrides: str, **parts: dict[str, Any]) -> dict[str, list[Trial]]:
    """Stage -> its trials."""
    trials = expanded(folder, *overrides, base={"steps": 5}, stages=parts).trials
    return {name: [trial for trial in trials if trial.stage == name] for name in parts}


def parents(trials: list[Trial], others: list[Trial], role: str = "init_from") -> list[tuple[Any, Any]]:
    """(the trial's point, its parent's point) of each."""
    points = {other.id: other.point for other in others}
    return [(trial.point, points[trial.parents[role]]) for trial in trials]


def problems(folder: Path, base: dict[str, Any] | None = None, **parts: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        expanded(folder, base={"steps": 5} if base is None else base, stages=parts)
    return [problem.replace(f"{folder}/sweeps/demo.yaml: ", "") for problem in caught.value.problems]


def test_the_parent_agrees_on_every_shared_axis(tmp_path: Path) -> None:
    found = stages(
        tmp_path,
        pretrain={**PRETRAIN, "grid": {"seed": [0, 1]}},
        adapt={**ADAPT, "grid": {"target.subset.size": [10, 40], "seed": [0, 1]}},
    )
    assert [trial.point for trial in found["pretrain"]] == [{"seed": 0}, {"seed": 1}]
    assert parents(found["adapt"], found["pretrain"]) == [
        ({"seed": 0, "target.subset.size": 10}, {"seed": 0}),
        ({"seed": 1, "target.subset.size": 10}, {"seed": 1}),
        ({"seed": 0, "target.subset.size": 40}, {"seed": 0}),
        ({"seed": 1, "target.subset.size": 40}, {"seed": 1}),
    ]
    assert [trial.config.seed for trial in found["adapt"]] == [0, 1, 0, 1]


def test_parents_come_first_whatever_the_order_in_the_file(tmp_path: Path) -> None:
    trials = expanded(tmp_path, base={"steps": 5}, stages={"adapt": ADAPT, "pretrain": PRETRAIN}).trials
    assert [trial.stage for trial in trials] == ["pretrain", "adapt"]


def test_without_a_grid_there_is_one_trial_for_each_parent_with_its_axes(tmp_path: Path) -> None:
    found = stages(
        tmp_path,
        pretrain={**PRETRAIN, "grid": {"seed": [0, 1], "batch_size": [4, 6]}},
        adapt=ADAPT,
    )
    assert [(t.config.seed, t.config.batch_size) for t in found["adapt"]] == [
        (0, 4),
        (0, 6),
        (1, 4),
        (1, 6),
    ]
    assert all(child == parent for child, parent in parents(found["adapt"], found["pretrain"]))


def test_a_stage_does_not_inherit_inside_what_it_names_itself(tmp_path: Path) -> None:
    found = stages(
        tmp_path,
        pretrain={**PRETRAIN, "grid": {"method.lambda_aux": [0.3], "seed": [4]}},
        adapt=ADAPT,
    )
    config = found["adapt"][0].config
    assert (config.method.name, config.method.lambda_aux, config.seed) == ("joint", 0.1, 4)


def test_the_stages_own_base_wins_over_an_inherited_axis(tmp_path: Path) -> None:
    adapt = {**ADAPT, "base": {"method": JOINT, "seed": 9}}
    found = stages(tmp_path, pretrain={**PRETRAIN, "grid": {"seed": [0, 1]}}, adapt=adapt)
    assert [trial.config.seed for trial in found["adapt"]] == [9, 9]
    assert len({trial.id for trial in found["adapt"]}) == 2
    assert len({fingerprint(trial.config) for trial in found["adapt"]}) == 1


def test_match_chooses_one_parent_for_all(tmp_path: Path) -> None:
    found = stages(
        tmp_path,
        pretrain={**PRETRAIN, "grid": {"seed": [0, 1]}},
        adapt={**ADAPT, "match": {"seed": 1}, "grid": {"seed": [5, 6]}},
    )
    assert parents(found["adapt"], found["pretrain"]) == [
        ({"seed": 5}, {"seed": 1}),
        ({"seed": 6}, {"seed": 1}),
    ]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("seed", "1", "match.seed: found '1', which is text; parents have 1: write 1"),
        (
            "optimizer.lr",
            "1e-3",
            "match.optimizer.lr: found '1e-3', which is text; parents have 0.001: write 0.001",
        ),
        ("seed", "{a", "from.init_from: no trial of stage pretrain has seed={a; there are: "),
    ],
)
def test_a_match_that_is_text_where_parents_have_a_number_says_so(
    tmp_path: Path, path: str, value: str, expected: str
) -> None:
    pretrain = {**PRETRAIN, "grid": {"seed": [0, 1], "optimizer.lr": [1e-3]}}
    (problem,) = problems(tmp_path, pretrain=pretrain, adapt={**ADAPT, "match": {path: value}})
    assert problem.startswith(f"stages.adapt.{expected}")


def test_match_by_name_and_below_an_axis(tmp_path: Path) -> None:
    methods = [{"name": "joint", "lambda_target": 0.5}, {"name": "supervised"}]
    first = {"task": "train", "grid": {"method": methods}}
    for match in ({"method": "joint"}, {"method.lambda_target": 0.5}, {"method": {"name": "joint"}}):
        adapt = {"task": "train", "from": {"init_from": "first"}, "match": match, "grid": {"method": [JOINT]}}
        found = stages(tmp_path, first=first, adapt=adapt)
        assert parents(found["adapt"], found["first"])[0][1] == {"method": methods[0]}


def test_a_grandchild_agrees_with_axes_it_has_only_from_its_parent(tmp_path: Path) -> None:
    found = stages(
        tmp_path,
        first={**PRETRAIN, "grid": {"seed": [0, 1]}},
        second={"task": "train", "from": {"init_from": "first"}, "base": {"method": JOINT}},
        third={
            "task": "train",
            "from": {"init_from": "second"},
            "base": {"method": JOINT, "steps": 7},
            "grid": {"seed": [1, 0]},
        },
    )
    assert parents(found["third"], found["second"]) == [
        ({"seed": 1}, {"seed": 1}),
        ({"seed": 0}, {"seed": 0}),
    ]


def test_the_example_of_translated_sources_is_ready(tmp_path: Path) -> None:
    """As in the sweeps to come: a network per target size, its translation, and training on both sources."""
    found = stages(
        tmp_path,
        network={"task": "train", "base": {"method": JOINT}, "grid": {"target.subset.size": [10, 40]}},
        labels={"task": "pseudo_label", "from": {"network": "network"}, "base": {"threshold": 0.9}},
    )
    config = found["labels"][1].config
    assert isinstance(config, PseudoLabelConfig)
    assert (config.target.subset.size, config.threshold, config.evaluation.size) == (40, 0.9, (64, 32))
    assert config.outputs == ("labels",)
    assert [trial.id.rsplit("-", 1)[0] for trial in found["labels"]] == ["labels-toy-n10", "labels-toy-n40"]
    assert [trial.parents["network"] for trial in found["labels"]] == [trial.id for trial in found["network"]]


def test_pseudo_labels_train_the_network_that_made_them(tmp_path: Path) -> None:
    """Seg-Uncertainty's two stages: each child has the weights and the labels of one and the same network."""
    sizes = {"target.subset.size": [10, 40], "seed": [0, 1]}
    found = stages(
        tmp_path,
        adapt={"task": "train", "base": {"method": {"name": "mrnet"}}, "grid": sizes},
        labels={"task": "pseudo_label", "from": {"network": "adapt"}},
        rectified={
            "task": "train",
            "from": {"init_from": "adapt", "labels": "labels"},
            "base": {"method": {"name": "pseudo_label"}},
            "grid": {"method.rectify": [True, False], **sizes},
        },
    )
    assert [len(trials) for trials in found.values()] == [4, 4, 8]
    networks = {trial.id: trial.parents["network"] for trial in found["labels"]}
    for trial in found["rectified"]:
        assert networks[trial.parents["labels"]] == trial.parents["init_from"]
        assert not trial.config.source_outputs


def test_the_method_pseudo_label_needs_labels(tmp_path: Path) -> None:
    alone = {"task": "train", "base": {"method": {"name": "pseudo_label"}}}
    (problem,) = problems(tmp_path, rectified=alone)
    assert problem.endswith("method pseudo_label needs a labels: from: {labels: STAGE}")


def test_translation_takes_generators_and_its_images_are_a_source(tmp_path: Path) -> None:
    crop = {key: {"crop": [8, 8]} for key in ("source", "target")}
    found = stages(
        tmp_path,
        translator={
            "task": "train",
            "base": {"method": {"name": "cyclegan"}, "transforms": crop},
            "grid": {"target.subset.size": [10, 40]},
        },
        cycle={"task": "translate", "from": {"network": "translator"}},
        adapt={
            "task": "train",
            "from": {"cycle": "cycle"},
            "base": {"source": [{"name": "render"}, {"output": "cycle"}]},
            "grid": {
                "method": [JOINT, {"name": "supervised"}],
                "target.subset.size": [10, 40],
                "seed": [0, 1],
            },
        },
    )
    assert all(isinstance(trial.config, TranslateConfig) for trial in found["cycle"])
    assert [trial.point for trial in found["cycle"]] == [
        {"target.subset.size": 10},
        {"target.subset.size": 40},
    ]
    joint = [trial for trial in found["adapt"] if trial.config.method.name == "joint"]
    sizes = {trial.id: trial.point["target.subset.size"] for trial in found["cycle"]}
    assert [sizes[trial.parents["cycle"]] for trial in joint] == [10, 10, 40, 40]
    assert joint[0].config.source_outputs == ("cycle",)
    supervised = [trial for trial in found["adapt"] if trial.config.method.name == "supervised"]
    assert [trial.parents for trial in supervised] == [{}] * 4  # it opens no source


def test_an_id_holds_its_parents_and_begins_with_the_stage(tmp_path: Path) -> None:
    found = stages(tmp_path, pretrain=PRETRAIN, adapt=ADAPT)
    child, parent = found["adapt"][0], found["pretrain"][0]
    alone = expanded(tmp_path, base={"steps": 5, "method": JOINT}).trials[0]
    assert child.id.startswith("adapt-joint-toy-nall-s0-")
    assert child.config == alone.config and child.id.rsplit("-", 1)[1] != alone.id.rsplit("-", 1)[1]
    assert parent.id.rsplit("-", 1)[1] == fingerprint(parent.config)
    other = stages(tmp_path, "batch_size=8", pretrain=PRETRAIN, adapt=ADAPT)
    assert other["adapt"][0].parents["init_from"] != parent.id


def test_known_ids_of_stages(tmp_path: Path) -> None:
    """Results on disk are found by these: they change with CONFIG_VERSION and nothing else."""
    found = stages(tmp_path, pretrain=PRETRAIN, adapt=ADAPT)
    assert [trial.id for trials in found.values() for trial in trials] == [
        "pretrain-source_only-toy-s0-0ac550f36736",
        "adapt-joint-toy-nall-s0-2e42067f3dd3",
    ]


def test_adding_a_stage_or_a_value_keeps_ids(tmp_path: Path) -> None:
    before = stages(tmp_path, pretrain={**PRETRAIN, "grid": {"seed": [0]}}, adapt=ADAPT)
    after = stages(tmp_path, more=PRETRAIN, pretrain={**PRETRAIN, "grid": {"seed": [0, 1]}}, adapt=ADAPT)
    for name, trials in before.items():
        assert {trial.id for trial in trials} < {trial.id for trial in after[name]}


def test_a_stage_may_have_data_and_an_executor_of_its_own(tmp_path: Path) -> None:
    write_profile(tmp_path, name="other")
    pretrain = {**PRETRAIN, "data": "other", "executor": {"retry": 7}}
    sweep = load(
        tmp_path,
        base={"steps": 5},
        executor={"max_parallel": 2},
        stages={"pretrain": pretrain, "adapt": ADAPT},
    )
    first, second = sweep.stages
    assert (first.executor.retry, first.executor.max_parallel) == (7, 2)
    assert second.executor == sweep.executor
    assert [trial.config.data.name for trial in expand(sweep).trials] == ["other", "toy"]
    assert sweep.data == "toy"


def test_the_command_lines_executor_and_settings_go_for_every_stage(tmp_path: Path) -> None:
    sweep = load(
        tmp_path, "executor.retry=1", "batch_size=6", base={"steps": 5},
        stages={"pretrain": {**PRETRAIN, "executor": {"retry": 7}}, "adapt": ADAPT},
    )  # fmt: skip
    assert [stage.executor.retry for stage in sweep.stages] == [1, 1]
    assert [trial.config.batch_size for trial in expand(sweep).trials] == [6, 6]


def test_layers_say_where_an_inherited_value_comes_from(tmp_path: Path) -> None:
    expansion = expanded(
        tmp_path, base={"steps": 5}, stages={"pretrain": {**PRETRAIN, "grid": {"seed": [3]}}, "adapt": ADAPT}
    )
    layers = expansion.layers[expansion.trials[1].id]
    assert [(layer.kind, layer.prefix) for layer in layers] == [
        ("profile", "trial"),
        ("base", "base"),
        ("parent", "stages.adapt.from.init_from"),
        ("base", "stages.adapt.base"),
    ]


def test_thousands_of_children_find_their_parents_in_time(tmp_path: Path) -> None:
    grid = {"seed": list(range(60)), "target.subset.size": list(range(10, 60))}
    content = {"first": {"task": "train", "base": {"method": JOINT}, "grid": grid}, "adapt": {
        "task": "train", "from": {"init_from": "first"}, "base": {"method": JOINT, "steps": 6}, "grid": grid,
    }}  # fmt: skip
    started = time.process_time()
    assert len(expanded(tmp_path, base={"steps": 5}, stages=content).trials) == 6000
    assert time.process_time() - started < 6.0  # 1 s where nothing else runs


def test_faults_of_all_stages_are_listed_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        pretrain={**PRETRAIN, "base": {"method": {"name": "source_onyl"}}},
        adapt=ADAPT,
        other={"task": "train", "base": {"method": JOINT, "stesp": 3}},
    )
    assert [line.split(": ")[0] for line in found] == [
        "stages.pretrain.base.method.name",
        "stages.other.base.stesp",
    ]
    found = problems(
        tmp_path,
        pretrain={**PRETRAIN, "from": {"init_from": "adpat"}},
        adapt={**ADAPT, "from": {"network": "pretrain"}},
    )
    assert len(found) == 2


def test_a_point_without_a_parent_names_those_there_are(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        pretrain={**PRETRAIN, "grid": {"seed": [0, 1]}},
        adapt={**ADAPT, "grid": {"seed": [0, 7]}},
    )
    assert len(found) == 1
    assert found[0].startswith(
        "stages.adapt.from.init_from: no trial of stage pretrain has seed=7; "
        "there are: pretrain-source_only-toy-s0-"
    )
    assert "(seed=0), pretrain-source_only-toy-s1-" in found[0]
    assert found[0].endswith("(at 1 of 2 points, first seed=7)")


def test_several_parents_are_named_with_what_would_choose(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        pretrain={**PRETRAIN, "grid": {"seed": [0, 1], "batch_size": [4]}},
        adapt={**ADAPT, "grid": {"target.subset.size": [10]}},
    )
    assert len(found) == 1
    assert found[0].startswith(
        "stages.adapt.from.init_from: 2 trials of stage pretrain fit, but one is needed: pretrain-source_only"
    )
    assert found[0].endswith("make seed an axis of this stage, or choose with match")


def test_parents_that_do_not_agree_with_one_another(tmp_path: Path) -> None:
    first = {"task": "train", "base": {"method": JOINT}, "grid": {"seed": [0]}}
    labels = {"task": "pseudo_label", "from": {"network": "second"}}
    second = {**first, "grid": {"seed": [1]}}
    adapt = {"task": "train", "from": {"init_from": "first", "labels": "labels"}, "base": {"method": JOINT}}
    found = problems(tmp_path, first=first, second=second, labels=labels, adapt=adapt)
    assert found[0].startswith("stages.adapt.from: no parents agree with one another: init_from has first-")


def test_a_stage_without_stages_beside_it_changes_no_id(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    assert expanded(tmp_path).trials[0].id == "joint-toy-nall-s0-ba8b8cf6f54c"


def test_students_of_one_teacher(tmp_path: Path) -> None:
    found = stages(
        tmp_path,
        adapt={"task": "train", "base": {"method": {"name": "mrnet"}}, "grid": {"seed": [0, 1]}},
        student={
            "task": "train",
            "from": {"teacher": "adapt"},
            "grid": {
                "method": [{"name": "student_more_images"}, {"name": "student_selftrain"}],
                "seed": [0, 1],
            },
        },
    )
    assert len(found["student"]) == 4
    assert all(
        child["seed"] == parent["seed"]
        for child, parent in parents(found["student"], found["adapt"], "teacher")
    )
    other = {"task": "train", "from": {"teacher": "adapt"}}
    base = {"method": {"name": "student_selftrain"}, "model": {"name": "tiny", "width": 8}}
    (problem,) = problems(
        tmp_path,
        adapt={"task": "train", "base": {"method": {"name": "mrnet"}}},
        student={**other, "base": base},
    )
    assert "from.teacher: the parent's model is another: here width 8, there 16" in problem


def test_a_translator_does_not_depend_on_a_segmenters_settings(tmp_path: Path) -> None:
    crop = {key: {"crop": [8, 8]} for key in ("source", "target")}
    base = {"method": {"name": "cyclegan"}, "transforms": crop}
    (plain,) = stages(tmp_path, translator={"task": "train", "base": base})["translator"]
    more = {
        "model": {"name": "tiny", "width": 8},
        "optimizer": {"name": "adamw"},
        "schedule": {"warmup_steps": 3},
        "evaluation": {"protocol": "mirror"},
    }
    (other,) = stages(tmp_path, translator={"task": "train", "base": {**base, **more}})["translator"]
    assert other.id == plain.id and plain.config.model is None
    (scored,) = stages(
        tmp_path, adapt={"task": "train", "base": {**base, "method": {"name": "adaptsegnet"}}}
    )["adapt"]
    assert selection_key(scored.config) != selection_key(plain.config)  # which opens no validation image
    uncropped = {**base, "transforms": {"source": {"crop": None}}}
    (problem,) = problems(tmp_path, translator={"task": "train", "base": uncropped})
    assert problem.endswith("method cyclegan needs images of one size; set transforms.source.crop")


def test_an_option_that_never_acts_is_told_of_its_stage(tmp_path: Path) -> None:
    first = {"task": "train", "base": {"method": {"name": "mrnet"}, "steps": 9}}
    notes = expanded(tmp_path, base={"steps": 5}, stages={"pretrain": first, "adapt": ADAPT}).notes
    assert notes[0] == "pretrain: trials of 9 steps end before method.mr_start 15000, which never acts"


def test_ancestors_that_open_more_target_images_are_told(tmp_path: Path) -> None:
    def notes(**pretrain: Any) -> list[str]:
        few = {**ADAPT, "grid": {"target.subset.size": [10, 40]}}
        first = {"task": "train", "base": {"method": JOINT, **pretrain}}
        return expanded(tmp_path, base={"steps": 5}, stages={"pretrain": first, "adapt": few}).notes

    told = "adapt: trials of {} target images (seed 0) take from pretrain, which opened {}"
    assert notes() == [told.format(size, "all target images") for size in (10, 40)]
    assert notes(target={"subset": {"size": 20}}) == [told.format(10, "20 target images (seed 0)")]
    assert notes(target={"subset": {"size": 10}}) == []
    other = notes(target={"subset": {"size": 10, "seed": 1}})
    assert other == [told.format(size, "10 target images (seed 1)") for size in (10, 40)]
