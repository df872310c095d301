import io
import shutil
from pathlib import Path

import pytest
from domains import write_cityscapes, write_gta5
from rich.console import Console

from launcher.commands.explain import Explanation, explain, render
from launcher.commands.find_planned import find_planned
from launcher.launching.decide import Requests
from launcher.launching.manifest import problems, read_manifests
from launcher.sweep import expand, load_sweep
from launcher.trials.outcome import Outcome, Status, write_outcome
from launcher.trials.plan import write_plan
from launcher.trials.prepare import prepare
from launcher.trials.states import State
from segda_core.errors import ConfigError
from segda_core.files import write_json
from sweeps import METHODS, TOY_PROFILE, expanded, load, write_profile, write_sweep

GRID = {"method": METHODS, "target.subset.size": [2, 4], "seed": [0, 1]}

pytestmark = pytest.mark.processes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a sweep and the images of its profile."""
    monkeypatch.chdir(tmp_path)
    write_gta5(tmp_path / "render", 3)
    write_cityscapes(tmp_path / "camera", 5, 2)
    write_sweep(tmp_path, base={"steps": 30, "optimizer": {"name": "adamw"}}, grid=GRID)
    return tmp_path


def explained(word: str, *overrides: str) -> Explanation:
    found = find_planned(word, Path("runs"), overrides=overrides)
    return explain(found.trial, found.sweep, found.expansion, Path("runs"), Requests())


def test_each_value_says_where_it_comes_from(place: Path) -> None:
    origins = {value.path: value.origin for value in explained("joint-toy-n4-s1", "threads=2").values}
    assert origins["model.name"] == "profile (sweeps/data/toy.yaml: trial.model.name)"
    assert origins["source[0].name"] == "profile (sweeps/data/toy.yaml: trial.source[0].name)"
    assert origins["steps"] == "base (sweeps/demo.yaml: base.steps)"
    assert origins["method.name"] == "grid (sweeps/demo.yaml: grid.method[2].name)"
    assert origins["target.subset.size"] == "grid (sweeps/demo.yaml: grid.target.subset.size[1])"
    assert origins["threads"] == "--set threads"
    assert origins["method.lambda_aux"] == origins["target.subset.seed"] == "default"
    assert origins["target.labelled.size"] == "follows from method joint"
    assert origins["data.domains.camera.root"] == "data profile"
    source_only = {value.path: value.origin for value in explained("source_only-toy-s0").values}
    assert source_only["target.subset"] == "not what grid gives: source_only does not use it"
    assert source_only["transforms.target.crop"] == "not what profile gives: source_only does not use it"


def test_it_says_whether_and_why_the_trial_would_run(place: Path) -> None:
    assert explained("joint-toy-n4-s1").decision.reason == "not run yet"


def test_the_nearest_finished_trial_and_what_differs(place: Path) -> None:
    sweep = load(place, base={"steps": 30, "optimizer": {"name": "adamw"}}, grid=GRID)
    done = {trial.id: trial for trial in expand(sweep).trials}
    for beginning in ("joint-toy-n2-s0", "supervised-toy-n4-s1"):
        trial = next(trial for name, trial in done.items() if name.startswith(beginning))
        write_json(prepare(trial, Path("runs")).metrics, {})
    found = explained("joint-toy-n4-s0")
    assert found.nearest is not None and found.nearest.startswith("joint-toy-n2-s0")
    assert {(item.path, item.here, item.there) for item in found.differences} == {
        ("target.subset.size", 4, 2),
        ("target.labelled.size", 4, 2),
    }
    other = explained("joint-toy-n2-s1", "target.subset.pick=first").differences
    assert {(item.path, item.here, item.there) for item in other} == {
        ("seed", 1, 0),
        ("target.subset.pick", "first", "random"),
    }, "what is at its default is said too"


def test_a_changed_base_is_found_by_comparison_with_what_ran_before(place: Path) -> None:
    before = expanded(place, base={"steps": 20, "optimizer": {"name": "adamw"}}, grid=GRID).trials[2]
    write_json(prepare(before, Path("runs")).metrics, {})
    write_sweep(place, base={"steps": 30, "optimizer": {"name": "adamw"}}, grid=GRID)
    today = expanded(place, base={"steps": 30, "optimizer": {"name": "adamw"}}, grid=GRID).trials[2]
    found = explained(today.id)
    assert found.nearest == before.id
    with pytest.raises(ConfigError, match=f"the nearest it makes is {today.id} with steps 30 instead of 20"):
        explained(before.id)
    assert [(item.path, item.here, item.there) for item in found.differences] == [("steps", 30, 20)]


def test_settings_that_the_next_attempt_changes_are_said(place: Path) -> None:
    trial = expanded(place, base={"steps": 30, "method": {"name": "joint"}, "workers": 0}).trials[0]
    prepare(trial, Path("runs"))
    write_sweep(place, base={"steps": 30, "method": {"name": "joint"}, "workers": 3})
    found = explained(trial.id)
    assert [(item.path, item.here, item.there) for item in found.changed] == [("workers", 0, 3)]


def test_the_page_for_people(place: Path) -> None:
    stream = io.StringIO()
    render(explained("joint-toy-n4-s1"), Console(file=stream, width=80))
    text = stream.getvalue()
    assert "missing; next launch: run (not run yet)" in text
    assert "grid (sweeps/demo.yaml: grid.seed[1])" in text


def test_the_page_says_how_far_a_trial_came_over_its_attempts(place: Path) -> None:
    trial = expanded(place, base={"steps": 30, "optimizer": {"name": "adamw"}}, grid=GRID).trials[3]
    files = prepare(trial, Path("runs"))
    for number in (1, 2):
        write_json(files.attempt(number).submission, {"manifest_hash": "hash"})
        write_outcome(files.attempt(number), Outcome(Status.SAVED, "saved"))
    files.attempt(1).history.write_text('{"step": 12, "miou": 0.25, "time": 1.0}\n')
    stream = io.StringIO()
    render(explained(trial.id), Console(file=stream, width=80))
    assert "missing, step 12/?, mIoU so far 25.00; next launch: run" in stream.getvalue()


def test_trials_are_found_by_directory_id_and_beginning(place: Path) -> None:
    trial = expanded(place, base={"steps": 30, "optimizer": {"name": "adamw"}}, grid=GRID).trials[3]
    assert find_planned(trial.id, Path("runs")).trial.id == trial.id
    files = prepare(trial, Path("runs"))
    for word in (trial.id, trial.id[:-2], str(files.root), f"{files.root}/"):
        assert find_planned(word, Path("runs")).trial.id == trial.id


def test_a_trial_of_a_sweep_file_that_lies_elsewhere(place: Path) -> None:
    """The file is the one it was launched from, one of its name where that is gone."""
    listed = place / "sweeps/demo.yaml"
    file = place / "notes/demo.yaml"
    file.parent.mkdir()
    listed.rename(file)
    sweep = load_sweep("notes/demo.yaml")
    expansion = expand(sweep)
    write_plan(Path("runs"), sweep, expansion)
    trial = expansion.trials[0]
    prepare(trial, Path("runs"))
    assert find_planned(trial.id, Path("runs")).sweep.file == file
    shutil.copy(file, listed)
    assert find_planned(trial.id, Path("runs")).sweep.file == file
    file.unlink()
    assert find_planned(trial.id, Path("runs")).sweep.file == Path("sweeps/demo.yaml")
    listed.unlink()
    with pytest.raises(ConfigError, match=f"{file}, which {trial.id} was launched from, is gone"):
        find_planned(trial.id, Path("runs"))


def test_a_trial_in_another_runs_folder_is_looked_at_there(place: Path) -> None:
    trial = expanded(place, base={"steps": 30, "optimizer": {"name": "adamw"}}, grid=GRID).trials[3]
    files = prepare(trial, Path("elsewhere"))
    write_json(files.cancel, {})
    found = find_planned(str(files.root), Path("runs"))
    assert found.runs == Path("elsewhere")
    explanation = explain(found.trial, found.sweep, found.expansion, found.runs, Requests())
    assert explanation.status.state is State.CANCELLED


def test_a_path_says_where_the_trial_lies_or_would_lie(place: Path) -> None:
    trial = expanded(place, base={"steps": 30, "optimizer": {"name": "adamw"}}, grid=GRID).trials[3]
    files = prepare(trial, Path("runs"))
    (place / "link").symlink_to(files.root.resolve())
    assert find_planned("link", Path("runs")).runs == (place / "runs").resolve()
    assert find_planned(f"other/demo/{trial.id}", Path("runs")).runs == Path("other")
    assert find_planned(f"demo/{trial.id}", Path("runs")).runs == Path("runs")
    with pytest.raises(ConfigError, match="no trial '/' in runs"):
        find_planned("/", Path("runs"))


def test_a_trial_that_several_sweeps_plan_is_asked_for_by_its_sweep(place: Path) -> None:
    shutil.copy(place / "sweeps/demo.yaml", place / "sweeps/other.yaml")
    other = place / "sweeps/other.yaml"
    other.write_text(other.read_text().replace("name: demo", "name: other"))
    word = "joint-toy-n4-s1"
    with pytest.raises(ConfigError, match=f"any of 2 planned trials: demo/{word}-.*other/{word}-"):
        find_planned(word, Path("runs"))
    for name in ("demo", "other"):
        for asked in (f"{name}/{word}", f"runs/{name}/{word}"):
            assert find_planned(asked, Path("runs")).sweep.name == name


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("nothing-toy", "no trial 'nothing-toy' in runs"),
        ("joint-toy", "'joint-toy' may be any of 4 planned trials: demo/joint-toy-n2-s0"),
    ],
)
def test_unknown_and_ambiguous_words_are_errors(place: Path, word: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        find_planned(word, Path("runs"))


def test_an_unfinished_sweep_file_leaves_the_trials_of_others_to_be_found(place: Path) -> None:
    trial = expand(load_sweep("demo")).trials[0]
    (place / "sweeps" / "a_wip.yaml").write_text("name: a_wip\nbas: {}\n")
    assert find_planned(trial.id, Path("runs")).trial.id == trial.id


def test_a_directory_that_the_sweep_no_longer_makes(place: Path) -> None:
    trial = expanded(place, "steps=4", base={"steps": 30, "method": {"name": "joint"}}).trials[0]
    prepare(trial, Path("runs"))
    with pytest.raises(ConfigError, match="makes no such trial today"):
        find_planned(trial.id, Path("runs"))
    assert find_planned(trial.id, Path("runs"), overrides=["steps=4"]).trial.id == trial.id


def test_manifests_are_read_once_for_each_choice_of_images(place: Path) -> None:
    trials = expanded(place, base={"steps": 1}, grid={**GRID, "batch_size": [1, 2]}).trials
    manifests = read_manifests(trials, absent_classes=True)
    assert set(manifests) == {trial.id for trial in trials}
    counts = {}
    for trial in trials:
        found = manifests[trial.id]
        counts[trial.config.method.name] = (found.source, found.target, found.labelled, found.validation)
    assert counts == {
        "source_only": (3, 0, 0, 2),
        "supervised": (0, 4, 4, 2),
        "joint": (3, 4, 4, 2),
        "adaptsegnet": (3, 4, 0, 2),
    }
    assert len({manifest.hash for manifest in manifests.values()}) == 1 + 2 * 3
    assert problems(manifests.values()) == []


def test_images_that_are_missing_are_a_problem_said_once(place: Path) -> None:
    shutil.rmtree("camera")
    trials = expanded(place, base={"steps": 1}, grid=GRID).trials
    found = problems(read_manifests(trials).values())
    assert sorted(line.split(":")[0] for line in found) == [
        "camera/leftImg8bit/train",
        "camera/leftImg8bit/val",
    ]


def test_more_target_images_than_there_are_is_a_problem(place: Path) -> None:
    write_profile(place, ladder=[2, 50], trial=TOY_PROFILE["trial"])
    trials = expanded(place, grid={"target.subset.size": "ladder"}).trials
    found = problems(read_manifests(trials).values())
    assert len(found) == 1 and "50" in found[0]


def test_parents_are_named_and_waited_for(place: Path) -> None:
    stages = {
        "pretrain": {"task": "train", "base": {"method": METHODS[2]}, "grid": {"seed": [3]}},
        "adapt": {"task": "train", "from": {"init_from": "pretrain"}, "base": {"method": METHODS[2]}},
    }
    write_sweep(place, base={"steps": 30}, stages=stages)
    found = explained("adapt-joint")
    parent = explained("pretrain-joint").id
    assert {role: (each.id, each.state) for role, each in found.parents.items()} == {
        "init_from": (parent, "missing")
    }
    assert found.decision.reason == f"not run yet; waits for {parent}"
    origins = {value.path: value.origin for value in found.values}
    assert origins["seed"] == "parent (sweeps/demo.yaml: stages.adapt.from.init_from)"
    assert origins["method.name"] == "base (sweeps/demo.yaml: stages.adapt.base.method.name)"
    stream = io.StringIO()
    render(found, Console(file=stream, width=80))
    assert f"init_from: {parent} (missing)" in stream.getvalue()
