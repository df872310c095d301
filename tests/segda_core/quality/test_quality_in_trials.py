"""What a whole trial stores about its quality, and that its training does not notice."""

import json

import pytest
import torch
from ranks import endings, start_training
from trials import small_config, write_trial

from segda_core import checkpoint
from segda_core.config import identity
from segda_core.files import read_json
from segda_core.process import StopRequest
from segda_core.quality.catalogue import METRICS
from segda_core.trials.attempt import run_attempt
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.layout import TrialFiles


def run(folder, config) -> TrialFiles:
    trial = write_trial(folder, config)
    stop = StopRequest()
    threads = torch.get_num_threads()
    run_attempt(trial, trial.attempt(1), stop, Heartbeat(trial, trial.attempt(1), stop))
    torch.set_num_threads(threads)
    return trial


def evaluations(trial: TrialFiles) -> list[dict]:
    rows = [json.loads(line) for line in trial.attempt(1).history.read_text().splitlines()]
    return [row for row in rows if "miou" in row]


def weights(trial: TrialFiles) -> dict:
    return checkpoint.load(trial.attempt(1).checkpoints / "6.pt")["networks"]["segmenter"]


@pytest.fixture(scope="module")
def trials(root, tmp_path_factory):
    """The same trial measured at its end, at every evaluation, and never."""
    folder = tmp_path_factory.mktemp("runs")
    evaluation = {"size": [64, 32], "every": 2}
    settings = {"end": {}, "midway": {"midway": True, "images": 6}, "never": {"images": 0}}
    return {
        name: run(folder / name, small_config(root, "source_only", quality=quality, evaluation=evaluation))
        for name, quality in settings.items()
    }


def test_metrics_json_holds_every_metric_and_what_it_was_computed_on(trials):
    metrics = read_json(trials["end"].metrics)
    quality = metrics["quality"]
    assert quality["metrics"].keys() == METRICS.keys()
    assert quality["metrics"]["src"] > 0
    on = quality["on"]
    assert (on["target_images"], on["source_images"], on["source_held_out"]) == (8, 12, False)
    assert len(on["target_list"]) == len(on["source_list"]) == 64
    assert (metrics["target_images"], metrics["uses_target_labels"]) == (0, False)


def test_no_images_means_no_quality(trials):
    assert read_json(trials["never"].metrics)["quality"] is None
    assert all("quality" not in row for row in evaluations(trials["never"]))


def test_midway_quality_stands_beside_every_miou(trials):
    rows = evaluations(trials["midway"])
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert all(row["quality"].keys() == METRICS.keys() for row in rows)
    assert rows[-1]["quality"] == read_json(trials["midway"].metrics)["quality"]["metrics"]
    assert ["quality" in row for row in evaluations(trials["end"])] == [False, False, True]


def test_training_does_not_notice(trials):
    expected = weights(trials["never"])
    for name in ("end", "midway"):
        assert all(torch.equal(tensor, expected[key]) for key, tensor in weights(trials[name]).items())
        assert read_json(trials[name].metrics)["miou"] == read_json(trials["never"].metrics)["miou"]


@pytest.mark.parametrize("network", ["student", "teacher"])
def test_student_and_teacher_are_compared_whichever_is_evaluated(root, tmp_path, network):
    evaluation = {"size": [64, 32], "network": network}
    trial = run(tmp_path / "trial", small_config(root, "ema_classmix", evaluation=evaluation, steps=3))
    assert 0 < read_json(trial.metrics)["quality"]["metrics"]["ema"] < 1


@pytest.mark.processes
def test_two_ranks_measure_what_one_does(root, tmp_path):
    """Midway too, while the other rank waits; weights differ by rounding alone, also with batch norm."""
    evaluation = {"size": [64, 32], "every": 2}
    model = {"name": "tiny", "width": 8, "norm": "batch"}
    common = {"evaluation": evaluation, "quality": {"midway": True}, "steps": 4, "model": model}
    common["sync_batch_norm"] = True
    alone = run(tmp_path / "alone", small_config(root, "adaptsegnet", **common))
    both = write_trial(tmp_path / "both", small_config(root, "adaptsegnet", ranks=2, **common))
    assert endings(start_training(both, 2)) == [0, 0]
    for one, two in zip(evaluations(alone), evaluations(both), strict=True):
        known = {name: value for name, value in one["quality"].items() if value is not None}
        assert {name: two["quality"][name] for name in known} == pytest.approx(known, rel=0.01, abs=0.01)


def test_it_is_no_part_of_a_trials_identity(root):
    assert identity(small_config(root, quality={"images": 0})) == identity(small_config(root))
