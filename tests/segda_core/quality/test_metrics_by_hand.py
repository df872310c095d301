"""Metrics of fixed networks on images drawn for them, each value worked out beside it in numpy."""

import numpy as np
import pytest
import torch
from domains import save
from torch import Tensor, nn
from trials import small_config

from segda_core.data.index import ImageRecord
from segda_core.data.measured import MeasuredImages
from segda_core.models.base import Logits, Segmenter
from segda_core.quality.full import measure_full
from segda_core.quality.measure import measure


def of(road: float, car: float) -> np.ndarray:
    """A distribution of the 19 classes: these shares, and the others alike."""
    p = np.full(19, (1 - road - car) / 17)
    p[[0, 13]] = road, car
    return p


BLACK, WHITE = of(0.45, 0.25), of(0.2, 0.6)
UNIFORM = np.full(19, 1 / 19)


def entropy(p):
    return -np.sum(p[p > 0] * np.log(p[p > 0]))


def kl(p, q):
    return np.sum(p * np.log(p / q))


class Shades(Segmenter):
    """A cell's logits by its brightness: those of black, those of white, and the line between them."""

    feature_channels = 3

    def __init__(self, *heads: tuple[np.ndarray, np.ndarray]) -> None:
        super().__init__((0.0,) * 3, (255.0,) * 3, align_corners=False)
        self.has_aux = len(heads) == 2
        self.ends = torch.from_numpy(np.log(np.array(heads))).float()[..., None, None, None]

    def stages(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (nn.functional.avg_pool2d(inputs, 4),)

    def heads(self, stages: tuple[Tensor, ...]) -> Logits:
        shade = stages[0].mean(dim=1)
        main, *aux = (((1 - shade) * black + shade * white).movedim(0, 1) for black, white in self.ends)
        return Logits(main, aux[0] if aux else None)


class Halves(Shades):
    """Sees the place alone: the left half of any image is black to it, the right half white."""

    def stages(self, inputs: Tensor) -> tuple[Tensor, ...]:
        seen = torch.zeros_like(inputs)
        seen[..., inputs.shape[-1] // 2 :] = 1
        return super().stages(seen)


def picture(value: int = 0) -> np.ndarray:
    return np.full((32, 64), value, np.uint8)


@pytest.fixture
def config(tmp_path):
    return small_config(tmp_path)


@pytest.fixture
def images(tmp_path):
    """Grey target images, and a source whose labels (train ids) these are."""

    def write(*greys: np.ndarray, labels=()) -> MeasuredImages:
        target, source = [], []
        for number, grey in enumerate(greys):
            path = tmp_path / f"{number}.png"
            save(path, np.stack([grey] * 3, axis=-1))
            target.append(ImageRecord(str(number), path, None))
        for number, label in enumerate(labels):
            path = tmp_path / f"{number}_labelTrainIds.png"
            save(path, label)
            source.append(ImageRecord(str(number), target[0].image, path))
        return MeasuredImages(target, source, held_out=False)

    return write


@pytest.fixture
def three(images):
    """A black image, a white one, and a black one whose left quarter is white: 5 of 12 cells are white."""
    quarter = picture()
    quarter[:, :16] = 255
    return images(picture(), picture(255), quarter)


SHARE = 5 / 12


def test_entropy_and_mutual_information(three, config):
    found = measure(Shades((BLACK, WHITE)), None, three, config)["metrics"]
    mean = (1 - SHARE) * entropy(BLACK) + SHARE * entropy(WHITE)
    of_mean = entropy((1 - SHARE) * BLACK + SHARE * WHITE)
    assert found["ent"] == pytest.approx(mean / np.log(19), rel=1e-5)
    assert found["mi"] == pytest.approx((of_mean - mean) / np.log(19), rel=1e-5)


def test_a_network_that_knows_nothing_has_all_entropy_and_no_information(three, config):
    found = measure(Shades((UNIFORM, UNIFORM)), None, three, config)["metrics"]
    assert (found["ent"], found["mi"]) == (pytest.approx(1, abs=1e-6), pytest.approx(0, abs=1e-6))


def test_heads_by_the_divergence_of_the_auxiliary_from_the_main_one(three, config):
    aux_black, aux_white = of(0.7, 0.1), of(0.4, 0.3)  # road on black like the main head, and on white too
    network = Shades((BLACK, WHITE), (aux_black, aux_white))
    found = measure(network, None, three, config)["metrics"]
    black, white = kl(BLACK, aux_black), kl(WHITE, aux_white)
    assert found["head"] == pytest.approx((1 - SHARE) * black + SHARE * white, rel=1e-5)
    certainty = (1 - SHARE) * np.exp(-black) + SHARE * np.exp(-white)
    assert found["head_certainty"] == pytest.approx(certainty, rel=1e-5)
    assert found["head_disagreement"] == pytest.approx(SHARE)


def test_a_teacher_that_differs_on_white(three, config):
    found = measure(Shades((BLACK, WHITE)), Shades((BLACK, BLACK)), three, config)["metrics"]
    assert found["ema"] == pytest.approx(1 - SHARE)


def test_consistency_is_of_predictions_mirrored_back(three, config):
    """Without a sense of place nothing changes; with it left is right, and the other changes of an image
    alter nothing."""
    shades = measure_full(Shades((BLACK, WHITE)), None, three, config)["cons"]
    assert shades["mirror"] == 1
    halves = measure_full(Halves((BLACK, WHITE)), None, three, config)
    assert halves["cons"] == {"mirror": 0, "scale 0.75": 1, "scale 1.25": 1, "colour": 1, "blur": 1}
    assert (halves["metrics"]["cons"], halves["metrics"]["cons_miou"]) == (0.8, 0.8)


def test_consistency_in_overlap_and_divergence_where_colours_matter(images, config):
    """Evenly grey images change only where a warp makes them a fifth brighter: 80 from road to car."""

    def prediction(grey):
        logits = (1 - grey / 255) * np.log(BLACK) + grey / 255 * np.log(WHITE)
        return np.exp(logits) / np.exp(logits).sum()

    pairs = [(prediction(grey), prediction(1.2 * grey)) for grey in (80, 200)]
    assert [(p.argmax(), q.argmax()) for p, q in pairs] == [(0, 13), (13, 13)]
    found = measure_full(Shades((BLACK, WHITE)), None, images(picture(80), picture(200)), config)["metrics"]
    assert found["cons"] == pytest.approx((4 + 1 / 2) / 5)
    assert found["cons_miou"] == pytest.approx((4 + (0 + 1 / 2) / 2) / 5)
    symmetric = [(kl(p, q) + kl(q, p)) / 2 for p, q in pairs]
    assert found["cons_kl"] == pytest.approx(np.mean(symmetric) / 5, rel=1e-4)


def test_prior_of_each_band_that_is_labelled(images, config):
    half = picture()
    half[16:] = 255
    labels = np.full((2, 32, 64), 255, np.uint8)
    labels[0, 4:12], labels[0, 12:], labels[1, 24:] = 0, 13, 2  # nothing of the first band's four rows
    measured = images(half, picture(), labels=labels)
    found = measure_full(Shades((BLACK, WHITE)), None, measured, config)["metrics"]["prior_bands"]

    def jensen_shannon(p, q):
        return (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2) / np.log(2)

    road, building, car = np.eye(19)[[0, 2, 13]]
    below = (BLACK + WHITE) / 2
    bands = [(road, BLACK)] * 2 + [(car, BLACK)] + [(car, below)] * 2 + [((car + building) / 2, below)] * 2
    assert found == pytest.approx(np.mean([jensen_shannon(label, seen) for label, seen in bands]), rel=1e-5)


def test_overlap_with_the_augmented_prediction_counts_rare_classes_alone(images, config):
    """Left road and right car, with its mirror image car everywhere: of road, which is in every label,
    nothing stays, of car half."""
    labels = np.zeros((2, 32, 64), np.uint8)
    labels[1, 16:] = 13
    found = measure_full(Halves((BLACK, WHITE)), None, images(picture(), labels=labels), config)
    assert found["on"]["rare_classes"] == ["car"]
    assert found["metrics"]["selfiou"] == 0.5
