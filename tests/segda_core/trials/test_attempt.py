import json
import shutil
from functools import cache

import numpy as np
import pytest
import torch
from domains import save
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trials import (
    CONTRACT,
    MINED,
    SIZES,
    VALIDATION,
    run,
    skipping,
    small_config,
    write_trial,
)

from segda_core import checkpoint
from segda_core.classes import CLASSES, LABEL_IDS
from segda_core.config import Lite0Config
from segda_core.data.manifest import select_images
from segda_core.errors import DataError
from segda_core.evaluate import evaluate_checkpoint
from segda_core.files import read_json
from segda_core.inference.pictures import PREVIEW_WIDTH
from segda_core.models import build_segmenter
from segda_core.process import Verdict
from segda_core.trials import environment, scoring
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import digest
from segda_core.trials.trial_history import trial_history
from segda_core.trials.weights import load_trained


def history(trial: TrialFiles, number: int) -> list[dict]:
    return [json.loads(line) for line in trial.attempt(number).history.read_text().splitlines()]


def without_times(row: dict) -> dict:
    return {key: value for key, value in row.items() if key in ("step", "losses", "learning_rates", "miou")}


def assert_equal_states(first, second) -> None:
    """Two nested states, tensor by tensor, to the last bit."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_equal_states(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_equal_states(one, other)
    else:
        assert first == second


@cache
def training_state(trial: TrialFiles, number: int, step: int) -> dict:
    state = checkpoint.load(trial.attempt(number).checkpoints / f"{step}.pt")
    return {key: state[key] for key in ("step", "networks", "optimizers", "schedules")}


def start_at_step_3(trial: TrialFiles, whole: TrialFiles) -> None:
    """Give a trial's first attempt the checkpoint that a finished one left half-way."""
    shutil.copytree(whole.attempt(1).checkpoints, trial.attempt(1).checkpoints)
    for later in ("6.pt", "final.pt"):
        (trial.attempt(1).checkpoints / later).unlink()


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """One uninterrupted trial of a method, which runs when it is first asked for."""
    folder = tmp_path_factory.mktemp("runs")

    @cache
    def trained(method: str) -> TrialFiles:
        trial = write_trial(folder / method, small_config(root, method))
        run(trial)
        return trial

    return trained


@pytest.mark.slow
@pytest.mark.parametrize("method", [*CONTRACT, *MINED])
def test_resumed_equals_uninterrupted_bit_for_bit(method, finished, root, tmp_path):
    whole = finished(method)
    trial = write_trial(tmp_path / "trial", small_config(root, method), attempts=2)
    start_at_step_3(trial, whole)

    run(trial, 2)

    assert_equal_states(training_state(trial, 2, 6), training_state(whole, 1, 6))
    resumed, uninterrupted = read_json(trial.metrics), read_json(whole.metrics)
    for field in ("miou", "iou", "pixel_accuracy", "manifest_hash"):
        assert resumed.get(field) == uninterrupted.get(field)
    rows = [without_times(row) for row in history(trial, 2)]
    assert rows[-2:] == [without_times(row) for row in history(whole, 1)[-2:]]
    assert all(row["step"] > 3 for row in rows)
    assert read_json(trial.attempt(2).environment)["first_step"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("method", [*CONTRACT, *MINED])
def test_training_moves_every_network(method, finished):
    early, late = (training_state(finished(method), 1, step)["networks"] for step in (3, 6))
    for name in early:
        assert any(not torch.equal(early[name][key], late[name][key]) for key in early[name])


@pytest.mark.parametrize("network", ["student", "teacher"])
def test_what_is_published_is_what_was_scored_also_with_batch_norm(root, tmp_path, network):
    """No image of the validation split, nor one that is measured or pictured, moves anything."""
    changes = {"model": {"name": "tiny", "width": 8, "norm": "batch"}, "steps": 2}
    config = small_config(root, "ema_classmix", evaluation={**SIZES, "network": network}, **changes)
    trial = write_trial(tmp_path / "trial", config)
    run(trial)
    last = training_state(trial, 1, 2)["networks"]["teacher" if network == "teacher" else "segmenter"]
    final = torch.load(trial.attempt(1).checkpoints / "final.pt")["networks"]["segmenter"]
    assert final.keys() == last.keys() and any("running_mean" in name for name in final)
    assert all(torch.equal(final[name], last[name]) for name in final)


def test_a_resumed_attempt_reads_no_initial_weights(root, tmp_path):
    path = tmp_path / "initial.pt"
    torch.save(build_segmenter(Lite0Config(name="lite0", weights="none")).state_dict(), path)
    model = {"name": "lite0", "weights": str(path)}
    trial = write_trial(tmp_path / "trial", small_config(root, "joint", model=model, steps=2))
    run(trial, 1, ask=Verdict.SAVE)
    path.unlink()
    trial.attempt(2).root.mkdir()
    run(trial, 2)
    assert read_json(trial.attempt(2).environment)["first_step"] == 1
    assert trial.metrics.exists()


def test_a_request_saves_after_the_step_and_the_next_attempt_goes_on(finished, root, tmp_path):
    trial = write_trial(tmp_path / "trial", small_config(root, "joint"))

    run(trial, 1, ask=Verdict.SAVE)

    assert read_json(trial.attempt(1).saved)["step"] == 1
    assert [path.name for path in trial.attempt(1).checkpoints.iterdir()] == ["1.pt"]
    assert not trial.metrics.exists()
    trial.attempt(2).root.mkdir()
    run(trial, 2)
    assert_equal_states(training_state(trial, 2, 6), training_state(finished("joint"), 1, 6))


def test_the_result_says_everything_the_leaderboard_needs(finished):
    trial = finished("joint")
    metrics = read_json(trial.metrics)

    assert metrics == read_json(trial.attempt(1).metrics)
    assert (metrics["schema"], metrics["trial"], metrics["task"], metrics["attempt"]) == (
        1,
        "joint",
        "train",
        1,
    )
    output = metrics["outputs"]["segmenter"]
    assert output["path"] == "attempts/1/checkpoints/final.pt"
    assert output["sha256"] == digest(trial.root / output["path"])
    assert metrics["miou"] == pytest.approx(np.mean(list(metrics["iou"].values())))
    assert (metrics["source_images"], metrics["target_images"], metrics["labelled_images"]) == (12, 8, 8)
    assert metrics["uses_target_labels"] is True
    assert (metrics["steps"], metrics["seed"], metrics["subset_seed"]) == (6, 0, 0)
    assert metrics["images_per_second"] > 0
    assert metrics["wall_seconds"] > 0
    assert metrics["gpu_hours"] == 0
    assert metrics["quality"]["on"]["target_images"] == 8
    assert set(metrics["code"]) == {"commit", "diff_hash"}


def test_the_result_names_the_code_that_ran_and_not_what_lies_there_now(root, tmp_path, monkeypatch):
    commits = iter("123")
    monkeypatch.setattr(environment, "code_version", lambda: {"commit": next(commits), "diff_hash": None})
    trial = write_trial(tmp_path / "trial", small_config(root, "source_only", steps=1))
    run(trial)
    assert read_json(trial.metrics)["code"] == {"commit": "1", "diff_hash": None}


def test_an_unreadable_validation_label_may_be_skipped(root, tmp_path):
    copy = tmp_path / "domains"
    shutil.copytree(root, copy)
    label = min((copy / "target/gtFine/val").rglob("*_labelIds.png"))
    label.write_bytes(b"no picture")
    trial = write_trial(tmp_path / "trial", skipping(small_config(copy, "source_only", steps=1)))

    run(trial)

    assert read_json(trial.metrics)["protocol"]["label_size"] == [64, 32]
    with np.load(trial.attempt(1).confusion) as content:
        assert [int(matrix.sum()) > 0 for matrix in content["matrices"]] == [False] + [True] * (
            VALIDATION - 1
        )


def test_what_could_not_be_used_as_it_is_is_in_the_result(root, tmp_path, caplog):
    copy = tmp_path / "domains"
    shutil.copytree(root, copy)
    image = copy / "source/images/00003.png"
    image.write_bytes(image.read_bytes()[:200])
    label = copy / "source/labels/00005.png"
    Image.open(label).resize((32, 16), Image.Resampling.NEAREST).save(label)
    validation = min((copy / "target/leftImg8bit/val").rglob("*.png"))
    validation.write_bytes(validation.read_bytes()[:200])
    config = skipping(small_config(copy, "source_only"))
    whole = write_trial(tmp_path / "whole", config)

    run(whole)

    metrics = read_json(whole.metrics)
    assert (metrics["training_skipped"], metrics["validation_skipped"]) == ([str(image)], [str(validation)])
    assert metrics["labels_resized"] == 1
    line = "images skipped: 1 of training, 1 of validation; labels resized: 1"
    assert [record.message for record in caplog.records].count(line) == 1

    trial = write_trial(tmp_path / "trial", config, attempts=2)
    shutil.copytree(whole.attempt(1).checkpoints, trial.attempt(1).checkpoints)
    run(trial, 2)  # at its last step: it reads no training image
    for field in ("training_skipped", "validation_skipped", "labels_resized"):
        assert read_json(trial.metrics)[field] == metrics[field]


@pytest.mark.parametrize(("method", "validation"), [("joint", []), ("cyclegan", None)])
def test_without_bad_images_the_result_says_so(method, validation, finished):
    metrics = read_json(finished(method).metrics)
    assert (metrics["training_skipped"], metrics["labels_resized"]) == ([], 0)
    assert metrics.get("validation_skipped") == validation


def test_a_declared_class_that_no_validation_label_shows_fails_before_the_first_step(root, tmp_path):
    copy = tmp_path / "domains"
    shutil.copytree(root, copy)
    for label in (copy / "target/gtFine/val").rglob("*_labelIds.png"):
        ids = np.array(Image.open(label))
        save(label, np.where(ids == LABEL_IDS[CLASSES.index("bus")], 0, ids))
    evaluation = {**SIZES, "classes": ["road", "bus"]}
    trial = write_trial(tmp_path / "trial", small_config(copy, "source_only", evaluation=evaluation))
    with pytest.raises(DataError, match=r"^evaluation.classes declares bus, of which the validation images"):
        run(trial)
    assert history(trial, 1) == []
    assert not trial.attempt(1).checkpoints.exists()

    unscored = write_trial(tmp_path / "unscored", small_config(copy, "cyclegan", steps=1))
    run(unscored)
    assert unscored.metrics.exists()


def test_the_teacher_is_scored_and_kept_where_the_trial_says_so(finished, root, tmp_path):
    def final(trial):
        return trial.root / read_json(trial.metrics)["outputs"]["segmenter"]["path"]

    changes = {"evaluation": {"size": [64, 32], "classes": list(CLASSES), "network": "teacher"}}
    config = small_config(root, "ema_classmix", **changes)
    trial = write_trial(tmp_path / "trial", config)
    run(trial)
    assert read_json(trial.metrics)["protocol"]["network"] == "teacher"
    networks = training_state(trial, 1, 6)["networks"]
    kept = checkpoint.load(final(trial))["networks"]
    assert_equal_states(kept, {"segmenter": networks["teacher"]})
    assert_equal_states(networks, training_state(finished("ema_classmix"), 1, 6)["networks"])
    assert not torch.equal(kept["segmenter"]["main_head.weight"], networks["segmenter"]["main_head.weight"])
    for path in (final(trial), trial.attempt(1).checkpoints / "6.pt"):
        trained = load_trained(path, torch.device("cpu"))
        assert_equal_states(dict(trained.segmenter.state_dict()), dict(networks["teacher"]))
        again = evaluate_checkpoint(path, None, None)
        assert again["protocol"] == read_json(trial.metrics)["protocol"]
        assert again["iou"] == read_json(trial.metrics)["iou"]
    student = load_trained(finished("ema_classmix").attempt(1).checkpoints / "6.pt", torch.device("cpu"))
    assert_equal_states(dict(student.segmenter.state_dict()), dict(networks["segmenter"]))


def test_a_semi_supervised_trial_says_how_many_labels_it_saw(root, tmp_path):
    target = {"name": "target", "subset": {"size": 6}, "labelled": {"size": 2}}
    config = small_config(root, "ema_classmix", target=target)
    whole = write_trial(tmp_path / "whole", config)
    run(whole)
    metrics = read_json(whole.metrics)
    assert metrics["uses_target_labels"]
    assert (metrics["target_images"], metrics["labelled_images"]) == (6, 2)
    assert "segmenter/labelled" in history(whole, 1)[0]["losses"]
    trial = write_trial(tmp_path / "trial", config, attempts=2)
    start_at_step_3(trial, whole)
    run(trial, 2)
    assert_equal_states(training_state(trial, 2, 6), training_state(whole, 1, 6))


def test_a_method_without_a_target_counts_none(finished):
    metrics = read_json(finished("source_only").metrics)
    assert (metrics["target_images"], metrics["labelled_images"], metrics["subset_seed"]) == (0, 0, None)
    assert metrics["uses_target_labels"] is False


def test_the_confusion_file_adds_up_to_the_result(finished):
    trial = finished("joint")
    with np.load(trial.attempt(1).confusion) as content:
        matrices, names = content["matrices"], content["names"]
    total = matrices.sum(axis=0)
    assert matrices.dtype == np.int32
    assert (len(matrices), len(names)) == (VALIDATION, VALIDATION)
    road = total[0, 0] / (total[0].sum() + total[:, 0].sum() - total[0, 0])
    assert read_json(trial.metrics)["iou"]["road"] == pytest.approx(road)


def test_history_rows_and_tensorboard_tell_the_same(finished):
    trial = finished("joint")
    rows = history(trial, 1)
    assert [row["step"] for row in rows] == [2, 3, 4, 6, 6]
    assert rows[-1]["miou"] == read_json(trial.metrics)["miou"]
    assert all(0 <= row["data_wait"] <= 1 and row["images_per_second"] > 0 for row in rows[:-1])
    assert rows[0]["learning_rates"]["segmenter/heads"] == pytest.approx(0.1 * (1 - 1 / 6) ** 0.9)

    events = EventAccumulator(str(trial.attempt(1).tensorboard))
    events.Reload()
    (name,) = [name for name in rows[0]["losses"] if name.endswith("/source")]
    points = [(event.step, event.value) for event in events.Scalars(f"losses/{name}")]
    expected = [(row["step"], pytest.approx(row["losses"][name])) for row in rows[:-1]]
    assert points == expected
    assert [event.step for event in events.Scalars("miou")] == [6]


def test_pictures_and_environment_are_written(finished, root):
    attempt = finished("joint").attempt(1)
    with Image.open(attempt.preview) as preview:
        assert preview.size[0] == 3 * PREVIEW_WIDTH + 2 * 4
    stored = read_json(attempt.environment)
    assert stored["images"] == {"source": 12, "target": 8, "labelled": 8, "validation": VALIDATION}
    assert stored["float32"] == {"matmul": "highest", "cudnn_tf32": True}
    assert stored["packages"]["torch"] == torch.__version__.partition("+")[0]
    chosen = select_images(small_config(root, "joint")).labelled
    assert stored["target_images"] == [record.name for record in chosen]
    assert read_json(finished("source_only").attempt(1).environment)["target_images"] == []
    assert stored["manifest_hash"] == read_json(finished("joint").metrics)["manifest_hash"]


def test_evaluation_on_the_way_adds_rows_and_changes_nothing(finished, root, tmp_path):
    evaluation = {"size": [64, 32], "every": 2}
    trial = write_trial(tmp_path / "trial", small_config(root, "joint", evaluation=evaluation))

    run(trial)

    assert [row["step"] for row in history(trial, 1) if "miou" in row] == [2, 4, 6]
    assert_equal_states(training_state(trial, 1, 6), training_state(finished("joint"), 1, 6))


def test_the_history_of_a_killed_and_resumed_trial_is_that_of_an_uninterrupted_one(root, tmp_path):
    evaluation = {"size": [64, 32], "every": 2}
    config = small_config(root, "joint", evaluation=evaluation, log_every=1)
    whole = write_trial(tmp_path / "whole", config)
    run(whole)
    trial = write_trial(tmp_path / "trial", config)
    shutil.copytree(whole.attempt(1).root, trial.attempt(1).root, dirs_exist_ok=True)
    for later in ("6.pt", "final.pt"):  # killed after it had written its rows, before its checkpoint
        (trial.attempt(1).checkpoints / later).unlink()
    trial.attempt(2).root.mkdir()

    run(trial, 2)

    rows = trial_history(trial)
    assert [row["attempt"] for row in rows] == [1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert [without_times(row) for row in rows] == [without_times(row) for row in trial_history(whole)]


def test_a_trial_at_its_last_step_goes_straight_to_the_evaluation(finished, root, tmp_path):
    whole = finished("supervised")
    trial = write_trial(tmp_path / "trial", small_config(root, "supervised"), attempts=2)
    shutil.copytree(whole.attempt(1).checkpoints, trial.attempt(1).checkpoints)

    run(trial, 2)

    assert [row["step"] for row in history(trial, 2)] == [6]
    assert "losses" not in history(trial, 2)[0]
    assert read_json(trial.metrics)["iou"] == read_json(whole.metrics)["iou"]
    assert (trial.attempt(2).checkpoints / "final.pt").exists()


def test_a_finished_trial_and_a_superseded_attempt_are_left_alone(finished, root, tmp_path):
    trial = write_trial(tmp_path / "trial", small_config(root, "joint"), attempts=2)
    run(trial, 1)
    assert read_json(trial.attempt(1).superseded)["step"] == 0
    assert not trial.attempt(1).checkpoints.exists()

    shutil.copy(finished("joint").metrics, trial.metrics)
    run(trial, 2)
    assert trial.attempt(2).superseded.exists()
    assert read_json(trial.metrics) == read_json(finished("joint").metrics)


def test_superseded_while_the_result_is_written_publishes_nothing(root, tmp_path, monkeypatch):
    trial = write_trial(tmp_path / "trial", small_config(root, "source_only", steps=1))

    def claim_the_next(*_):
        trial.attempt(2).root.mkdir()

    monkeypatch.setattr(scoring, "save_preview", claim_the_next)
    run(trial)

    assert trial.attempt(1).superseded.exists()
    assert not trial.metrics.exists() and not trial.attempt(1).metrics.exists()


def test_superseded_while_training_writes_no_checkpoint(root, tmp_path):
    trial = write_trial(tmp_path / "trial", small_config(root, "joint"))
    run(trial, 1, ask=Verdict.SUPERSEDED)
    assert trial.attempt(1).superseded.exists()
    assert not trial.attempt(1).saved.exists()
    assert not trial.attempt(1).checkpoints.exists()


def test_a_loss_that_is_not_finite_says_step_loss_and_images(root, tmp_path):
    optimizer = {"name": "sgd", "lr": 1e30}
    trial = write_trial(tmp_path / "trial", small_config(root, "joint", optimizer=optimizer))

    with pytest.raises(FloatingPointError) as failure:
        run(trial)

    message = str(failure.value)
    (kept,) = trial.attempt(1).checkpoints.glob("*.pt")
    step = int(kept.stem.removeprefix("nan-"))
    assert message.startswith(f"step {step}: loss segmenter/")
    assert str(kept) in message
    assert message.count("leftImg8bit.png") == 4
    assert checkpoint.load(kept)["step"] == step
    assert checkpoint.newest(trial, up_to=1) is None


def test_losses_before_one_that_is_not_finite_are_in_the_history(root, tmp_path):
    rows = {}
    for every in (1, 4):
        changes = {"optimizer": {"name": "sgd", "lr": 100}, "steps": 30, "checkpoint": {"every": 100}}
        config = small_config(root, "source_only", log_every=every, **changes)
        trial = write_trial(tmp_path / str(every), config)
        with pytest.raises(FloatingPointError, match=r"^step 6: "):
            run(trial)
        rows[every] = history(trial, 1)
    assert [row["step"] for row in rows[1]] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows[4]] == [4, 6]
    for name, mean in rows[4][-1]["losses"].items():
        assert mean == pytest.approx((rows[1][4]["losses"][name] + rows[1][5]["losses"][name]) / 2)


def test_weights_that_are_not_finite_are_never_saved_for_resuming(root, tmp_path):
    optimizer = {"name": "sgd", "lr": 1e37, "weight_decay": 1e4}
    trial = write_trial(tmp_path / "trial", small_config(root, "joint", optimizer=optimizer, steps=1))
    with pytest.raises(FloatingPointError, match="step 1: the weights of segmenter"):
        run(trial)
    assert checkpoint.newest(trial, up_to=1) is None


def test_accumulation_equals_one_large_batch(root, tmp_path):
    model = {"name": "tiny", "width": 8, "norm": "group"}
    states = []
    for micro_batches in (1, 4):
        config = small_config(root, "adaptsegnet", model=model, micro_batches=micro_batches, steps=3)
        trial = write_trial(tmp_path / str(micro_batches), config)
        run(trial)
        states.append(training_state(trial, 1, 3)["networks"])
    for name, network in states[0].items():
        for key, tensor in network.items():
            torch.testing.assert_close(states[1][name][key], tensor, rtol=1e-4, atol=1e-5)


def test_clipping_bounds_every_updates_gradient(root, tmp_path):
    optimizer = {"name": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "head_lr_multiplier": 1.0}
    changes = {"optimizer": optimizer, "steps": 2, "checkpoint": {"every": 1}}
    moved = {}
    for clip in (None, 1e-3):
        config = small_config(root, "source_only", clip_norm=clip, **changes)
        trial = write_trial(tmp_path / str(clip), config)
        run(trial)
        early, late = (training_state(trial, 1, step)["networks"]["segmenter"] for step in (1, 2))
        weights = [key for key in early if "running" not in key and "num_batches" not in key]
        moved[clip] = torch.cat([(late[key] - early[key]).flatten() for key in weights]).norm().item()
    factor = 0.5**0.9  # of poly at step 1 of 2
    assert moved[1e-3] == pytest.approx(1e-3 * factor, rel=1e-2)
    assert moved[None] > 10 * moved[1e-3]


def test_bf16_trains(root, tmp_path):
    trial = write_trial(tmp_path / "trial", small_config(root, "joint", precision="bf16", steps=2))
    run(trial)
    weights = training_state(trial, 1, 2)["networks"]["segmenter"].values()
    assert all(weight.dtype != torch.bfloat16 for weight in weights)
    assert read_json(trial.metrics)["steps"] == 2
