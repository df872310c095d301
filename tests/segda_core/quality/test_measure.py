"""Measuring a segmenter on images: known networks, closed labels, nothing changed."""

import builtins
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from trials import small_config

from segda_core.classes import CLASSES
from segda_core.config import TinyConfig
from segda_core.data.index import scan
from segda_core.data.labels import label_counts, read_image, read_label
from segda_core.data.measured import list_hash, select_measured
from segda_core.metrics import scores
from segda_core.models import build_segmenter
from segda_core.models.base import Logits, Segmenter
from segda_core.process import Leave, StopRequest, Verdict
from segda_core.quality.catalogue import COMBINED, FULL_METRICS, METRICS
from segda_core.quality.full import measure_full
from segda_core.quality.measure import measure

NEED_SOURCE = {"prior", "mmd", "mmd_class", "pad", "src"}
NEED_TWO_HEADS = {"head", "head_disagreement", "head_certainty"}


@pytest.fixture
def config(root):
    return small_config(root, "source_only")


@pytest.fixture
def segmenter():
    torch.manual_seed(0)
    return build_segmenter(TinyConfig(name="tiny", width=8))


class Colours(Segmenter):
    """Its logits are a fixed function of each cell's own colour; constant with `gain` 0."""

    has_aux = False
    feature_channels = 3

    def __init__(self, gain: float) -> None:
        super().__init__((0.0,) * 3, (255.0,) * 3, align_corners=False)
        weights = torch.randn(19, 3, 1, 1, generator=torch.Generator().manual_seed(1))
        self.weights = nn.Parameter(gain * weights)
        self.bias = nn.Parameter(100.0 * torch.eye(19)[7] * (gain == 0))

    def stages(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (nn.functional.avg_pool2d(inputs, 4),)

    def heads(self, stages: tuple[Tensor, ...]) -> Logits:
        return Logits(nn.functional.conv2d(stages[0], self.weights, self.bias), None)


def metrics_of(segmenter, config, count=64, counterpart=None):
    return measure(segmenter, counterpart, select_measured(config, count), config)["metrics"]


def test_a_constant_network_by_hand(config):
    found = metrics_of(Colours(gain=0), config)
    assert found["ent"] == pytest.approx(0, abs=1e-12)
    assert found["mi"] == pytest.approx(0, abs=1e-12)
    assert found["cons"] == 1
    counts = sum(
        label_counts(record.label)[1] for record in scan(config.data.domains["source"], "train").records
    )
    labels, always = counts / counts.sum(), np.eye(19)[7]
    mixture = (labels + always) / 2
    bits = [-sum(p * np.log2(p) for p in d if p > 0) for d in (mixture, labels, always)]
    assert found["prior"] == pytest.approx(bits[0] - (bits[1] + bits[2]) / 2)
    assert found["src"] == pytest.approx(labels[7] / 19)


def test_a_network_of_colours_alone_is_not_moved_by_mirroring(config):
    network = Colours(gain=50)
    found = metrics_of(network, config)
    assert 0.5 < found["cons"] < 1  # mirrored it agrees to the last cell; the smaller image blends edges
    assert measure_full(network, None, select_measured(config, 4), config)["cons"]["mirror"] == 1
    assert found["mi"] > found["ent"] > 0
    assert all(found[name] is None for name in NEED_TWO_HEADS | {"ema"})


def test_every_metric_of_a_trial_with_all_it_needs(segmenter, config):
    found = metrics_of(segmenter, config, counterpart=build_segmenter(TinyConfig(name="tiny", width=8)))
    assert list(found) == list(METRICS)
    assert {name for name, value in found.items() if value is None} <= {"mmd_class"}  # too few cells
    assert all(np.isfinite(value) for value in found.values() if value is not None)


def test_what_a_trial_lacks_is_null(segmenter, root):
    found = metrics_of(segmenter, small_config(root, "supervised"))
    assert {name for name, value in found.items() if value is None} == NEED_SOURCE | {"ema"}
    assert found["head"] > 0


def test_predictions_that_overflow_give_null_and_no_failure(config):
    """The trial's own scores stand; NaN in metrics.json would be refused."""
    network = Colours(gain=0)
    nn.init.constant_(network.weights, 1e38)
    nn.init.constant_(network.bias, 3e38)  # finite, as checkpoints need; their sum is not
    found = metrics_of(network, config)
    assert (found["ent"], found["mi"], found["prior"]) == (None, None, None)
    assert 0 <= found["cons"] <= 1
    json.dumps(found, allow_nan=False)


def test_a_teacher_equal_to_its_student_agrees_everywhere(segmenter, config):
    assert metrics_of(segmenter, config, counterpart=segmenter)["ema"] == 1


def test_equal_heads_do_not_disagree(config):
    class Twice(Colours):
        has_aux = True

        def heads(self, stages: tuple[Tensor, ...]) -> Logits:
            main = super().heads(stages).main
            return Logits(main, main)

    found = metrics_of(Twice(gain=20), config)
    assert (found["head"], found["head_disagreement"], found["head_certainty"]) == (0, 0, 1)


def test_source_miou_is_that_of_the_confusion_at_label_size(segmenter, config):
    images = select_measured(config, 64)
    found = measure(segmenter, None, images, config)["metrics"]["src"]
    matrix = np.zeros((19, 19), dtype=np.int64)
    for record in images.source:
        pixels = torch.from_numpy(read_image(record.image).copy())
        with torch.no_grad():
            logits = segmenter.eval().at_image_size(pixels.movedim(2, 0)[None]).main
        truth, prediction = read_label(record.label), logits.argmax(dim=1)[0].numpy()
        np.add.at(matrix, (truth[truth != 255], prediction[truth != 255]), 1)
    assert found == pytest.approx(scores(matrix, CLASSES).miou)


def test_measuring_twice_gives_the_same_numbers_and_draws_nothing(segmenter, config):
    torch.manual_seed(3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = measure(segmenter.train(), None, select_measured(config, 64), config)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert segmenter.training
    assert all(parameter.grad is None for parameter in segmenter.parameters())
    assert measure(segmenter, None, select_measured(config, 64), config) == first


def test_a_request_to_stop_ends_it_and_restores_the_mode(segmenter, config):
    stop = StopRequest()
    stop.ask(Verdict.SAVE)
    with pytest.raises(Leave):
        measure(segmenter.train(), None, select_measured(config, 64), config, stop)
    assert segmenter.training


def test_no_label_of_the_target_and_no_validation_image_is_opened(segmenter, root, tmp_path, monkeypatch):
    """Opens of both kinds are refused, as unreadable files would (root may read everything)."""
    config = small_config(root, "source_only")
    closed = [root / "target" / "gtFine", root / "target" / "leftImg8bit" / "val"]
    monkeypatch.setenv("SEGDA_CACHE", str(tmp_path / "cache"))  # empty
    opened = _watch_opens(monkeypatch, closed)
    measure(segmenter, None, select_measured(config, 64), config)
    assert sum("leftImg8bit/train" in name for name in opened) == 8
    assert sum("source/labels" in name for name in opened) == 12


def _watch_opens(monkeypatch, closed: list[Path]) -> set[str]:
    opened: set[str] = set()
    original = builtins.open

    def watched(file, *arguments, **options):
        if isinstance(file, str | os.PathLike):
            assert not any(Path(file).is_relative_to(folder) for folder in closed), f"opened {file}"
            opened.add(str(file))
        return original(file, *arguments, **options)

    monkeypatch.setattr(builtins, "open", watched)
    monkeypatch.setattr(io, "open", watched)  # of pathlib
    return opened


def test_the_same_images_whatever_the_method_and_subset_and_the_first_of_more(root):
    chosen = {
        method: select_measured(small_config(root, method, target=target), 5)
        for method, target in [
            ("source_only", {"name": "target"}),
            ("adaptsegnet", {"name": "target", "subset": {"size": 2, "seed": 7}}),
            ("supervised", {"name": "target", "subset": {"size": 3}}),
        ]
    }
    assert len({list_hash(images.target) for images in chosen.values()}) == 1
    assert chosen["source_only"].source == chosen["adaptsegnet"].source
    assert chosen["supervised"].source == [] and list_hash([]) is None
    more = select_measured(small_config(root, "adaptsegnet"), 8)
    assert more.target[:5] == chosen["adaptsegnet"].target
    assert all(record.label is None for record in more.target)
    assert all("/train/" in str(record.image) for record in more.target)


def test_held_out_source_images_are_taken_where_there_are_some(root):
    plain = select_measured(small_config(root), 64)
    assert not plain.held_out and len(plain.source) == 12
    held = select_measured(small_config(root, source=[{"name": "source", "holdout": 0.25}]), 64)
    assert held.held_out and len(held.source) == 3


def test_images_that_a_parent_made_stand_in_for_a_source(root):
    made = select_measured(small_config(root), 3).source
    translated = small_config(root, source=[{"output": "cyclegta"}])
    found = select_measured(translated, 64, made)
    assert set(found.source) == set(made) and not found.held_out
    assert len(select_measured(small_config(root), 64, made).source) == 12


def test_the_combined_score_takes_known_metrics_and_signs_are_signs():
    assert set(COMBINED) <= METRICS.keys() < FULL_METRICS.keys()
    assert {metric.sign for metric in FULL_METRICS.values()} == {-1, 1}
