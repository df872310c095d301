"""AutoAugment's pairs against Pillow's operations, and what of the published list is kept."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from segda_core.config import TransformConfig
from segda_core.data.autoaugment import DRAWS, PAIRS, POLICIES, Operation, apply, autoaugment
from segda_core.data.transforms import augment

PICTURE = Image.fromarray(np.random.default_rng(0).integers(40, 200, (24, 32, 3), dtype=np.uint8))
PIXELS = np.asarray(PICTURE)
ALWAYS = 0.0
NEVER = 0.999


def equal(first, second):
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


PUBLISHED = """
posterize 0.4 8 rotate 0.6 9
solarize 0.6 5 autocontrast 0.6 5
equalize 0.8 8 equalize 0.6 3
posterize 0.6 7 posterize 0.6 6
equalize 0.4 7 solarize 0.2 4
equalize 0.4 4 rotate 0.8 8
solarize 0.6 3 equalize 0.6 7
posterize 0.8 5 equalize 1.0 2
rotate 0.2 3 solarize 0.6 8
equalize 0.6 8 posterize 0.4 6
rotate 0.8 8 color 0.4 0
rotate 0.4 9 equalize 0.6 2
equalize 0.0 7 equalize 0.8 8
invert 0.6 4 equalize 1.0 8
color 0.6 4 contrast 1.0 8
rotate 0.8 8 color 1.0 2
color 0.8 8 solarize 0.8 7
sharpness 0.4 7 invert 0.6 8
shearX 0.6 5 equalize 1.0 9
color 0.4 0 equalize 0.6 3
equalize 0.4 7 solarize 0.2 4
solarize 0.6 5 autocontrast 0.6 5
invert 0.6 4 equalize 1.0 8
color 0.6 4 contrast 1.0 8
equalize 0.8 8 equalize 0.6 3
"""
"""AutoAugment's 25 sub-policies for ImageNet: operation, probability and magnitude, twice."""


def test_the_published_list_without_what_moves_pixels():
    words = [line.split() for line in PUBLISHED.split("\n") if line]
    assert len(words) == 25
    moving = {"rotate", "shearX", "shearY", "translateX", "translateY"}
    kept = [
        (Operation(float(p), first, int(step)), Operation(float(q), second, int(other)))
        for first, p, step, second, q, other in words
        if not moving & {first, second}
    ]
    assert list(PAIRS) == kept and len(kept) == 18 and len(set(kept)) == 13
    assert POLICIES["with_invert"] == PAIRS
    without = [pair for pair in kept if "invert" not in (pair[0].name, pair[1].name)]
    assert list(POLICIES["without_invert"]) == without and len(without) == 15


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("posterize", 5, ImageOps.posterize(PICTURE, 6)),
        ("posterize", 7, ImageOps.posterize(PICTURE, 5)),
        ("solarize", 3, ImageOps.solarize(PICTURE, 171)),
        ("solarize", 5, ImageOps.solarize(PICTURE, 114)),
        ("solarize", 7, ImageOps.solarize(PICTURE, 57)),
        ("solarize", 0, PICTURE),
        ("solarize", 9, ImageOps.invert(PICTURE)),
        ("equalize", 8, ImageOps.equalize(PICTURE)),
        ("autocontrast", 5, ImageOps.autocontrast(PICTURE)),
        ("invert", 4, ImageOps.invert(PICTURE)),
        ("color", 0, PICTURE),
    ],
)
def test_operations_at_their_magnitudes(name, step, expected):
    for sign in (1, -1):
        equal(apply(PICTURE, Operation(1.0, name, step), sign), expected)


@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("color", ImageEnhance.Color),
        ("contrast", ImageEnhance.Contrast),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_enhancements_go_both_ways(name, enhancer):
    equal(apply(PICTURE, Operation(1.0, name, 8), 1), enhancer(PICTURE).enhance(1 + 0.8))
    equal(apply(PICTURE, Operation(1.0, name, 8), -1), enhancer(PICTURE).enhance(1 - 0.8))


def test_one_pair_by_its_draws():
    def drawn(pair, first, second, sign=0.1):
        return autoaugment(PIXELS, "with_invert", [(pair + 0.5) / 18, first, sign, second, sign])

    solarized = ImageOps.solarize(PICTURE, 171)
    equal(drawn(4, ALWAYS, ALWAYS), ImageOps.equalize(solarized))
    equal(drawn(4, ALWAYS, NEVER), solarized)
    equal(drawn(4, 0.59, 0.61), solarized)
    equal(drawn(4, 0.61, 0.59), ImageOps.equalize(PICTURE))
    equal(drawn(4, NEVER, NEVER), PICTURE)
    equal(drawn(7, ALWAYS, NEVER), PICTURE)
    coloured = ImageEnhance.Color(PICTURE).enhance(1 - 0.4)
    equal(drawn(9, ALWAYS, NEVER, sign=0.9), ImageEnhance.Contrast(coloured).enhance(1 - 0.8))


@pytest.mark.parametrize("policy", ["with_invert", "without_invert"])
def test_every_pair_is_reached(policy, monkeypatch):
    count = len(POLICIES[policy])
    met = []
    monkeypatch.setattr(
        "segda_core.data.autoaugment.apply", lambda picture, operation, sign: met.append(operation) or picture
    )
    for number in range(count):
        autoaugment(PIXELS, policy, [number / count + 1e-9, 0.0, 0.0, 0.0, 0.0])
    expected = [operation for pair in POLICIES[policy] for operation in pair if operation.probability]
    assert met == expected


def test_none_takes_the_image_as_it_is():
    assert autoaugment(PIXELS, "none", [0.0] * DRAWS) is PIXELS


def test_samples_are_augmented_before_cropping_and_labels_untouched():
    label = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    plain = TransformConfig(crop=(16, 12))
    changed = 0
    for seed in range(40):
        expected, cropped = augment(PIXELS, label, plain, np.random.default_rng(seed))
        config = TransformConfig(crop=(16, 12), autoaugment="with_invert")
        image, same = augment(PIXELS, label, config, np.random.default_rng(seed))
        equal(same, cropped)
        changed += not np.array_equal(image, expected)
        again, _ = augment(PIXELS, label, config, np.random.default_rng(seed))
        equal(again, image)
        rng = np.random.default_rng(seed)
        draws = rng.random(14)[9:]
        whole = autoaugment(PIXELS, "with_invert", draws)
        equal(image, augment(whole, label, plain, np.random.default_rng(seed))[0])
    assert 25 < changed < 40
