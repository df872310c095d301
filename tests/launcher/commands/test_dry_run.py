import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from launcher.commands.dry_run import DryRun, plan_dry_run
from launcher.commands.dry_run_view import render
from launcher.commands.forecast import Past, estimated_bytes
from launcher.commands.status_view import ROWS
from launcher.expand.selection import select
from launcher.launching.decide import Requests, decide_all
from launcher.launching.manifest import Manifest
from launcher.status import read_status
from launcher.sweep import expand
from launcher.trial import Trial
from launcher.trials.prepare import prepare
from segda_core.files import write_json
from sweeps import METHODS, expanded, load, write_profile

GRID = {"method": METHODS, "target.subset.size": [10, 40]}
AT_ONCE = 2
BASE = {"steps": 100, "batch_size": 4}


def finish(trial: Trial, runs: Path, images_per_second: float = 8.0, wall: float = 130.0) -> None:
    """Leave a trial's directory as a finished attempt does."""
    files = prepare(trial, runs)
    metrics: dict[str, Any] = {
        "attempt": 1,
        "steps": trial.config.steps,
        "miou": 0.5,
        "images_per_second": images_per_second,
        "wall_seconds": wall,
        "manifest_hash": "hash",
        "code": {"commit": None},
    }
    files.attempt(1).checkpoints.mkdir(parents=True)
    (files.attempt(1).checkpoints / "final.pt").write_bytes(bytes(1000))
    write_json(files.metrics, metrics)


def dry_run(folder: Path, only: list[str], manifest: Manifest, *overrides: str, **content: Any) -> DryRun:
    sweep = load(folder, *overrides, **content)
    expansion = expand(sweep)
    chosen = select(expansion.trials, only)
    runs = folder / "runs"
    look = {
        trial.id: (read_status(trial.files(runs), {trial.id: manifest.hash}), manifest) for trial in chosen
    }
    statuses = {trial.id: read_status(trial.files(runs)) for trial in expansion.trials}
    decisions = decide_all(
        chosen, {**statuses, **{key: found for key, (found, _) in look.items()}}, Requests()
    )
    return plan_dry_run(
        sweep, expansion, look, decisions, runs, at_once={trial.id: AT_ONCE for trial in chosen}
    )


def text_of(planned: DryRun) -> str:
    stream = io.StringIO()
    render(planned, Console(file=stream, width=80))
    return stream.getvalue()


def test_of_a_large_sweep_only_some_lines_are_shown(tmp_path: Path) -> None:
    planned = dry_run(tmp_path, [], Manifest(hash="hash"), base=BASE, grid={**GRID, "seed": list(range(100))})
    text = text_of(planned)
    left = len(planned.trials) - ROWS
    assert f"{left} more trials; --json lists all" in text
    assert sum(line.startswith("run ") for line in text.splitlines()) == ROWS


def test_it_says_what_runs_what_stays_and_why(tmp_path: Path) -> None:
    trials = expanded(tmp_path, base=BASE, grid=GRID).trials
    finish(trials[1], tmp_path / "runs")
    planned = dry_run(tmp_path, [], Manifest(hash="hash"), base=BASE, grid=GRID)
    text = text_of(planned)
    assert len(planned.to_run) == 6 and planned.planned == 7
    for trial in trials:
        assert trial.id in text
    assert ["skip", trials[1].id, "done", "done"] in [line.split() for line in text.splitlines()]
    assert "7 trials: 6 to run, 1 left as they are" in text
    assert "1 more points are the same as one of 1 of these trials, as method=source_only, size=40" in text
    assert f"-m segda_core.train {tmp_path}/runs/demo/{trials[0].id} --attempt 1" in text
    assert "OMP_NUM_THREADS=1 " in text and "--nproc-per-node 1" in text


def test_on_several_nodes_the_first_ones_command_is_shown(tmp_path: Path) -> None:
    slurm = {"name": "slurm", "nodes": 2}
    planned = dry_run(tmp_path, [], Manifest(), "ranks=4", base=BASE, grid=GRID, executor=slurm)
    command = planned.trials[0].command
    assert command is not None and "--standalone" not in command
    assert "--nnodes 2 --node-rank 0" in command and "FIRST_NODE:PORT" in command
    assert "--nproc-per-node 2" in command


def test_changed_images_make_a_result_stale(tmp_path: Path) -> None:
    finish(expanded(tmp_path).trials[0], tmp_path / "runs")
    planned = dry_run(tmp_path, [], Manifest(hash="other"))
    assert [(trial.state, trial.action) for trial in planned.trials] == [("stale", "skip")]
    assert "--rerun stale" in text_of(planned)


def test_one_trial_takes_its_own_time_however_many_fit(tmp_path: Path) -> None:
    base = {**BASE, "method": {"name": "joint"}}
    finish(expanded(tmp_path, base=base).trials[0], tmp_path / "runs")
    assert dry_run(tmp_path, [], Manifest(), base={**base, "seed": 1}).seconds == 130.0


def test_a_path_is_not_read_as_markup(tmp_path: Path) -> None:
    folder = tmp_path / "[red]"
    folder.mkdir()
    assert f"({folder}/sweeps/demo.yaml)" in text_of(dry_run(folder, [], Manifest()))


def test_selection_is_said(tmp_path: Path) -> None:
    planned = dry_run(tmp_path, ["method=joint"], Manifest(), base=BASE, grid=GRID)
    assert len(planned.trials) == 2
    assert "2 trials: 2 to run (5 more are not selected)" in text_of(planned)


def test_images_that_cannot_be_used_and_notes_are_shown(tmp_path: Path) -> None:
    manifest = Manifest(
        problem="data/camvid: no such folder",
        skipped=("a.png: truncated",),
        labelled=10,
        absent_classes=("train", "rider"),
    )
    content: dict[str, Any] = {"grid": {"seed": [0]}, "exclude": [{"seed": 5}]}
    planned = dry_run(tmp_path, [], manifest, **content)
    assert planned.problems == ["data/camvid: no such folder"]
    text = text_of(planned)
    assert "problem: data/camvid: no such folder" in text
    assert "note: left out: a.png: truncated" in text
    assert "note: no label among 10 target images shows train, rider" in text
    assert "exclude[0] matches no point" in text


def test_json_holds_everything(tmp_path: Path) -> None:
    planned = dry_run(tmp_path, [], Manifest(hash="hash", source=3), base=BASE, grid=GRID)
    content = json.loads(json.dumps(planned.as_json()))
    assert [trial["id"] for trial in content["trials"]] == [trial.id for trial in planned.trials]
    assert all(trial["command"].endswith("--attempt 1") for trial in content["trials"])
    assert content["trials"][0]["images"]["source"] == 3
    assert content["merged"] == [
        {"point": {"method": METHODS[0], "target.subset.size": 40}, "id": planned.trials[0].id}
    ]
    assert (content["unjudged"], content["seconds"]) == (7, 0)


def test_time_is_judged_by_finished_trials_of_the_same_kind(tmp_path: Path) -> None:
    """100 steps of 2 x 4 images at 8 a second are 100 s: 30 of 130 s were start and evaluation."""
    joint, supervised = [{"name": "joint"}], [{"name": "supervised"}]
    finish(expanded(tmp_path, base=BASE, grid={"method": joint}).trials[0], tmp_path / "runs")
    base = {**BASE, "steps": 200}
    planned = dry_run(
        tmp_path, [], Manifest(), base=base, grid={"method": joint + supervised, "seed": [0, 1]}
    )
    assert [trial.seconds for trial in planned.trials] == [230.0, 230.0, None, None]
    assert [trial.disk_bytes for trial in planned.trials[:2]] == [1000, 1000]
    assert "time: about 4 min, by finished trials, and 2 trials nothing is known about" in text_of(planned)


@pytest.mark.parametrize(
    "setting", ["threads=2", "precision=bf16", "model.width=32", "transforms.source.mirror=false"]
)
def test_trials_of_another_kind_say_nothing_about_time(tmp_path: Path, setting: str) -> None:
    finish(expanded(tmp_path, base={**BASE, "method": {"name": "joint"}}).trials[0], tmp_path / "runs")
    planned = dry_run(tmp_path, [], Manifest(), setting, base={**BASE, "method": {"name": "joint"}})
    assert planned.trials[0].seconds is None
    assert "time: unknown, nothing comparable has finished yet" in text_of(planned)


def test_two_steps_say_nothing_about_time(tmp_path: Path) -> None:
    finish(expanded(tmp_path, "steps=2").trials[0], tmp_path / "runs")
    assert dry_run(tmp_path, [], Manifest()).trials[0].seconds is None


@pytest.mark.parametrize(("name", "text"), [("config.yaml", "old: settings\n"), ("metrics.json", "[1]")])
def test_an_unreadable_result_of_another_sweep_is_passed_over(tmp_path: Path, name: str, text: str) -> None:
    trial = expanded(tmp_path, base={**BASE, "method": {"name": "joint"}}).trials[0]
    finish(trial, tmp_path / "runs")
    (trial.files(tmp_path / "runs").root / name).write_text(text)
    assert Past(tmp_path / "runs").forecast(trial.config).seconds is None


def test_disk_without_experience_is_weights_and_two_training_states(tmp_path: Path) -> None:
    tiny, resnet = (
        estimated_bytes(trial.config)
        for trial in expanded(
            tmp_path, grid={"model": [{"name": "tiny"}, {"name": "deeplabv2_resnet101"}]}
        ).trials
    )
    assert tiny == pytest.approx(4 * 204_502 + 2 * 12 * 204_502, rel=0.05)
    assert resnet == pytest.approx(44.6e6 * (4 + 24))


def test_a_bigger_ladder_plans_only_the_new_trials(tmp_path: Path) -> None:
    grid = {"target.subset.size": "ladder"}
    for trial in expanded(tmp_path, grid=grid).trials:
        finish(trial, tmp_path / "runs")
    write_profile(tmp_path, ladder=[10, 20, 40, 160])
    planned = dry_run(tmp_path, [], Manifest(hash="hash"), grid=grid)
    assert [trial.point["target.subset.size"] for trial in planned.to_run] == [20]


def test_of_a_search_it_says_how_many_trials_are_to_come(tmp_path: Path) -> None:
    search = {"algorithm": "tpe", "trials": 3, "space": {"seed": {"int": [0, 9]}}}
    text = text_of(dry_run(tmp_path, [], Manifest(), search=search))
    assert "0 trials: none yet\nnote: search: 3 more trials are proposed as results come in" in text


STAGES = {
    "pretrain": {"task": "train", "base": {"method": {"name": "joint"}}},
    "adapt": {
        "task": "train",
        "from": {"init_from": "pretrain"},
        "base": {"method": {"name": "joint"}, "seed": 1},
    },
}


def test_children_are_said_to_wait_and_take_their_time_after_their_parents(tmp_path: Path) -> None:
    first, second = expanded(tmp_path, base=BASE, stages=STAGES).trials
    finish(
        expanded(tmp_path / "other", base={**BASE, "seed": 7, "method": {"name": "joint"}}).trials[0],
        tmp_path / "runs",
    )
    planned = dry_run(tmp_path, [], Manifest(), base=BASE, stages=STAGES)
    assert [trial.waits_for for trial in planned.trials] == [(), (first.id,)]
    assert planned.seconds == 260.0
    assert f"missing   not run yet; waits for {first.id}\n" in text_of(planned)
    alone = dry_run(tmp_path, [second.id], Manifest(), base=BASE, stages=STAGES)
    assert (alone.trials[0].action, alone.seconds) == ("skip", 0)
