"""The full set: a fresh discriminator, bands, rare classes, and the command that measures a checkpoint."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from trials import small_config, write_domains, write_trial

from segda_core.classes import CLASSES
from segda_core.files import read_json
from segda_core.process import StopRequest
from segda_core.quality import __main__ as command
from segda_core.quality import full, looks_full
from segda_core.quality.catalogue import FULL_METRICS, METRICS
from segda_core.quality.discriminator import discriminator_accuracy
from segda_core.quality.full import rare_classes
from segda_core.quality.observe import Sample, View
from segda_core.quality.warps import ALL_WARPS, FEW_WARPS
from segda_core.trials.attempt import run_attempt
from segda_core.trials.heartbeat import Heartbeat

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    root = tmp_path_factory.mktemp("domains")
    write_domains(root)
    config = small_config(root, "ema_classmix", steps=3)
    files = write_trial(tmp_path_factory.mktemp("runs") / "trial", config)
    stop = StopRequest()
    threads = torch.get_num_threads()
    run_attempt(files, files.attempt(1), stop, Heartbeat(files, files.attempt(1), stop))
    torch.set_num_threads(threads)
    return files


@pytest.fixture
def run(monkeypatch, capsys):
    def quality(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["quality", *map(str, arguments)])
        command.main()
        return capsys.readouterr().out

    return quality


def test_a_trial_measured_again_gives_its_own_numbers(trial, run):
    result = json.loads(run(trial.root, "--json"))
    assert result["metrics"] == read_json(trial.metrics)["quality"]["metrics"]
    assert result["metrics"]["ema"] is not None  # from the training state beside the final weights
    assert result["on"] == read_json(trial.metrics)["quality"]["on"]
    assert read_json(trial.evaluations / "quality.json") == result


def test_the_full_set_is_kept_beside_it(trial, run, monkeypatch):
    monkeypatch.setattr(full, "STEPS", 5)
    shown = run(trial.root, "--full", "--images", 7)
    assert "dacc" in shown
    result = read_json(trial.evaluations / "quality-full.json")
    assert result["metrics"].keys() == FULL_METRICS.keys()
    assert (result["on"]["target_images"], result["on"]["source_images"]) == (7, 7)
    assert {name for name, value in result["metrics"].items() if value is None} <= {"mmd_class"}
    assert result["cons"].keys() == {warp.name for warp in ALL_WARPS}
    few = [result["cons"][warp.name] for warp in FEW_WARPS]
    assert min(few) > 0 and result["metrics"]["cons"] == pytest.approx(np.mean(list(result["cons"].values())))
    assert result["on"]["dacc_steps"] == 5


def test_a_broken_trial_json_is_named(trial, run, tmp_path, capsys):
    copied = tmp_path / "trial"
    shutil.copytree(trial.root, copied)
    for content in ('{"sweep', "[1]"):
        (copied / "trial.json").write_text(content)
        with pytest.raises(SystemExit, match="2"):
            run(copied)
        said = capsys.readouterr().err
        assert said.startswith(f"{copied}/trial.json: cannot be read: ")
        assert said.endswith("; delete it, `segda sweep` writes it again\n")


def test_final_weights_alone_have_no_teacher(trial, run, tmp_path):
    final = tmp_path / "final.pt"
    final.write_bytes((trial.attempt(1).checkpoints / "final.pt").read_bytes())
    result = json.loads(run(final, "--json"))
    assert result["metrics"]["ema"] is None
    assert result["metrics"].keys() == METRICS.keys()
    assert list(tmp_path.iterdir()) == [final]


def test_what_is_no_checkpoint_is_refused(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(tmp_path)
    assert ended.value.code == 2


def maps(classes: list[int], count: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    drawn = torch.from_numpy(rng.choice(classes, (count, 32, 32)))
    return torch.nn.functional.one_hot(drawn, 19).movedim(-1, 1).half()


def test_a_fresh_discriminator_tells_apart_only_what_differs():
    apart = discriminator_accuracy(maps([0, 1], 20, 0), maps([2, 3], 20, 1), CPU, steps=10)
    alike = discriminator_accuracy(maps([0, 1], 40, 0), maps([0, 1], 40, 1), CPU, steps=10)
    assert apart == 1
    assert 0.2 < alike < 0.8


def test_a_discriminator_repeats_itself_and_draws_from_no_one_else():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = discriminator_accuracy(maps([0, 1, 2], 10, 0), maps([0, 1], 10, 1), CPU, steps=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert discriminator_accuracy(maps([0, 1, 2], 10, 0), maps([0, 1], 10, 1), CPU, steps=3) == first


def view(label: np.ndarray, main: torch.Tensor) -> View:
    image = np.zeros((*label.shape, 3), np.uint8)
    return View([Sample(image, label)], main, None, main.argmax(dim=1), main)


def test_bands_go_from_top_to_bottom():
    label = np.repeat(np.arange(16, dtype=np.uint8)[:, None] // 8, 4, axis=1)  # upper half 0, lower half 1
    main = 100 * torch.nn.functional.one_hot(torch.from_numpy(label).long(), 19).movedim(-1, 0)
    label[0, 0] = 255
    seen = view(label, main[None].float())
    counts = looks_full.labelled_bands(seen)["label_bands"][0]
    assert counts[:, 0].tolist() == [7, 8, 8, 8, 0, 0, 0, 0]
    assert counts[:, 1].tolist() == [0, 0, 0, 0, 8, 8, 8, 8]
    predicted = looks_full.predicted_bands(seen)["bands"][0]
    torch.testing.assert_close(predicted[:, 1], torch.tensor([0.0] * 4 + [1.0] * 4))


def test_small_output_maps_are_enlarged_for_the_discriminator():
    main = torch.randn(1, 19, 8, 20)
    shown = looks_full.output_maps(view(np.zeros((8, 20), np.uint8), main))["maps"]
    assert shown.shape == (1, 19, 32, 80)
    torch.testing.assert_close(shown.float().sum(dim=1), torch.ones(1, 32, 80), atol=2e-3, rtol=0)


def test_rare_classes_are_in_some_but_less_than_four_fifths_of_the_source_images():
    counts = torch.zeros(10, 19)
    counts[:, 0] = 10000
    counts[:8, 1] = 100  # in 80 %: not rare
    counts[:7, 2] = 100
    counts[:5, 3] = 5  # fewer than 0.1 % of the pixels
    assert rare_classes({"label_counts": counts}, CLASSES) == ["building"]
    assert rare_classes({"label_counts": counts}, ["road", "wall"]) == []
    assert rare_classes({}, CLASSES) == []
