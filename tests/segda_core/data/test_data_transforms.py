import hashlib

import numpy as np
import pytest

from segda_core.config import TransformConfig
from segda_core.data.transforms import GREY, PADDING, augment, blur, jitter, resize, resize_label


def coordinates(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red is x and green is y, and a label that is x + y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, 0 * x], axis=-1).astype(np.uint8), (x + y).astype(np.uint8)


def drawn(config: TransformConfig, image: np.ndarray, label: np.ndarray | None, seed: int):
    return augment(image, label, config, np.random.default_rng(seed))


def test_crop_keeps_image_and_label_together_and_reaches_every_place():
    image, label = coordinates(9, 7)
    lefts, tops = set(), set()
    for seed in range(80):
        view, cropped = drawn(TransformConfig(crop=(5, 4), mirror=False), image, label, seed)
        left, top = int(view[0, 0, 0]), int(view[0, 0, 1])
        np.testing.assert_array_equal(view, image[top : top + 4, left : left + 5])
        np.testing.assert_array_equal(cropped, label[top : top + 4, left : left + 5])
        lefts.add(left)
        tops.add(top)
    assert lefts == set(range(5))
    assert tops == set(range(4))


def test_mirror_turns_both_about_half_the_time():
    image, label = coordinates(8, 4)
    turned = 0
    for seed in range(200):
        view, mirrored = drawn(TransformConfig(), image, label, seed)
        step = -1 if view[0, 0, 0] else 1
        turned += step == -1
        np.testing.assert_array_equal(view, image[:, ::step])
        np.testing.assert_array_equal(mirrored, label[:, ::step])
    assert 75 < turned < 125


def test_small_images_are_padded_right_and_below():
    image, label = coordinates(3, 2)
    view, padded = drawn(TransformConfig(crop=(5, 4), mirror=False), image, label, 0)
    np.testing.assert_array_equal(view[:2, :3], image)
    np.testing.assert_array_equal(padded[:2, :3], label)
    outside = np.ones((4, 5), dtype=bool)
    outside[:2, :3] = False
    assert (padded[outside] == 255).all()
    assert (view[outside] == PADDING).all()


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_scale_keeps_image_and_label_together(factor):
    y, x = np.mgrid[:60, :80]
    image = np.stack([2 * x, 2 * y, 0 * x], axis=-1).astype(np.uint8)
    label = (2 * x).astype(np.uint8)
    config = TransformConfig(scale=(factor, factor), crop=(24, 20), mirror=False)
    for seed in range(10):
        view, scaled = drawn(config, image, label, seed)
        inner = (slice(3, -3), slice(3, -3))
        difference = view[..., 0].astype(int)[inner] - scaled.astype(int)[inner]
        assert np.abs(difference).max() <= 3
        slope = np.diff(view[10, 3:-3, 0].astype(float)).mean()
        assert slope == pytest.approx(2 / factor, rel=0.1)


def test_scale_without_crop_changes_the_size():
    image, label = coordinates(8, 4)
    view, scaled = drawn(TransformConfig(scale=(1.5, 1.5)), image, label, 0)
    assert view.shape == (6, 12, 3)
    assert scaled.shape == (6, 12)


def test_scale_then_padding():
    image, label = coordinates(8, 8)
    view, scaled = drawn(TransformConfig(scale=(0.5, 0.5), crop=(6, 6), mirror=False), image, label, 0)
    assert (scaled[:4, :4] != 255).all()
    assert (scaled[4:] == 255).all()
    assert (scaled[:, 4:] == 255).all()
    assert view.shape == (6, 6, 3)


def test_labels_never_gain_values():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    label = rng.choice(np.array([0, 13, 255], dtype=np.uint8), (40, 60))
    for seed in range(20):
        _, changed = drawn(TransformConfig(scale=(0.5, 2.0), crop=(32, 32)), image, label, seed)
        assert set(np.unique(changed)) <= {0, 13, 255}


def test_jitter_by_hand():
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[0] = (100, 50, 200)
    np.testing.assert_array_equal(jitter(image, 1.0, 1.0, 1.0), image)
    assert jitter(image, 1.2, 1.0, 1.0)[0, 0].tolist() == [120, 60, 240]
    assert jitter(image, 1.5, 1.0, 1.0)[0, 0].tolist() == [150, 75, 255]
    grey = 0.299 * 100 + 0.587 * 50 + 0.114 * 200
    assert jitter(image, 1.0, 1.0, 0.0)[0, 0].tolist() == [round(grey)] * 3
    assert jitter(image, 1.0, 0.0, 1.0)[1, 1].tolist() == [round(grey / 2)] * 3
    expected = [round(0.5 * value + 0.5 * grey / 2) for value in (100, 50, 200)]
    assert jitter(image, 1.0, 0.5, 1.0)[0, 0].tolist() == expected


def test_jitter_is_about_the_mean_of_all_pixels():
    image = np.random.default_rng(0).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    grey = float(GREY @ image.mean(axis=(0, 1)))
    assert np.unique(jitter(image, 1.0, 0.0, 1.0)).tolist() == [round(grey)]
    np.testing.assert_array_equal(
        jitter(image[:, ::-1], 1.1, 0.8, 1.2)[:, ::-1], jitter(image, 1.1, 0.8, 1.2)
    )


def test_jitter_strength_bounds_the_change():
    image = np.full((4, 4, 3), 100, dtype=np.uint8)
    values = [int(drawn(TransformConfig(jitter=0.2), image, None, seed)[0][0, 0, 0]) for seed in range(200)]
    assert 80 <= min(values) < 84
    assert 116 < max(values) <= 120


def test_a_function_of_its_arguments():
    image, label = coordinates(20, 16)
    config = TransformConfig(scale=(0.8, 1.2), crop=(12, 10), jitter=0.3)
    first, second, other = (drawn(config, image, label, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])
    assert drawn(config, image, None, 1)[1] is None
    np.testing.assert_array_equal(drawn(config, image, None, 1)[0], first[0])
    np.testing.assert_array_equal(image, coordinates(20, 16)[0])


def test_switching_one_part_off_leaves_the_others():
    image, label = coordinates(20, 16)
    with_jitter = drawn(TransformConfig(crop=(12, 10), jitter=0.3), image, label, 4)
    without = drawn(TransformConfig(crop=(12, 10)), image, label, 4)
    np.testing.assert_array_equal(with_jitter[1], without[1])


def test_resize_image_and_label_each_from_its_own_size():
    image, _ = coordinates(40, 20)
    label = np.repeat(np.repeat(np.array([[1, 2], [3, 255]], dtype=np.uint8), 5, 0), 10, 1)
    assert resize(image, (20, 10)).shape == (10, 20, 3)
    np.testing.assert_array_equal(resize_label(label, (20, 10)), label)
    np.testing.assert_array_equal(resize(image, (40, 20)), image)
    np.testing.assert_array_equal(resize_label(label, (40, 20)), label.repeat(2, 0).repeat(2, 1))


def test_blur_comes_last_and_as_often_as_asked():
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    label = image[..., 0]
    blurred = 0
    for seed in range(200):
        plain, same = drawn(TransformConfig(jitter=0.3), image, label, seed)
        view, kept = drawn(TransformConfig(jitter=0.3, blur=0.5), image, label, seed)
        np.testing.assert_array_equal(kept, same)
        sigma = 0.15 + float(np.random.default_rng(seed).random(9)[8])
        if not np.array_equal(view, plain):
            blurred += 1
            np.testing.assert_array_equal(view, blur(plain, sigma))
    assert 75 < blurred < 125
    distance = {
        width: np.abs(gaussian_filter(image, width) - blur(image, 0.8)).mean() for width in (0.6, 0.8, 1)
    }
    assert min(distance, key=distance.get) == 0.8 and distance[0.8] < 4


def gaussian_filter(image: np.ndarray, sigma: float) -> np.ndarray:
    """Separable Gaussian with repeated borders."""
    offsets = np.arange(-4, 5)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    for axis in (0, 1):
        padded = np.pad(image, [(4, 4) if a == axis else (0, 0) for a in range(3)], mode="edge")
        length = image.shape[axis]
        parts = [
            padded.take(range(4 + o, 4 + o + length), axis=axis) * w
            for o, w in zip(offsets, weights, strict=True)
        ]
        image = sum(parts) / weights.sum()
    return image


def test_samples_of_earlier_versions_stay_the_same():
    """Digest of samples drawn before AutoAugment and blur existed."""
    image, label = coordinates(64, 48)
    config = TransformConfig(crop=(40, 30), jitter=0.3)
    digest = hashlib.sha256()
    for seed in range(5):
        for pixels in drawn(config, image, label, seed):
            digest.update(np.ascontiguousarray(pixels).tobytes())
    assert digest.hexdigest()[:16] == "089ad965aaa85f98"
