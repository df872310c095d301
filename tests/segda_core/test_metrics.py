import numpy as np
import pytest
import torch

from segda_core.classes import CLASSES
from segda_core.errors import DataError
from segda_core.metrics import _histograms, _histograms_unawaited, confusion_matrices, scores

ROAD, SIDEWALK, BUILDING, SKY = (CLASSES.index(name) for name in ("road", "sidewalk", "building", "sky"))


def test_confusion_matrix_counts_truth_by_row_and_leaves_out_ignored_pixels():
    truth = torch.tensor([[0, 0, 255], [1, 2, 255]], dtype=torch.uint8)
    prediction = torch.tensor([[0, 1, 0], [1, 0, 18]], dtype=torch.uint8)

    (matrix,) = confusion_matrices(truth[None], prediction[None])

    expected = torch.zeros(19, 19, dtype=torch.int32)
    expected[0, 0] = expected[0, 1] = expected[1, 1] = expected[2, 0] = 1
    assert matrix.dtype == torch.int32
    assert torch.equal(matrix, expected)


def test_confusion_matrix_agrees_with_counting_pixel_by_pixel():
    generator = torch.Generator().manual_seed(3)
    truth = torch.randint(0, 20, (20, 30), generator=generator)
    truth[truth == 19] = 255
    prediction = torch.randint(0, 19, (20, 30), generator=generator)

    expected = np.zeros((19, 19), dtype=np.int64)
    for row, column in zip(truth.flatten().tolist(), prediction.flatten().tolist(), strict=True):
        if row != 255:
            expected[row, column] += 1

    (matrix,) = confusion_matrices(truth[None], prediction[None])
    assert np.array_equal(matrix.numpy(), expected)


def test_an_image_without_labels_has_an_empty_matrix():
    truths = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    assert confusion_matrices(truths, torch.zeros(1, 4, 4, dtype=torch.uint8)).sum() == 0


def test_every_image_of_a_batch_is_counted_alone():
    generator = torch.Generator().manual_seed(4)
    truths, predictions = torch.randint(0, 19, (2, 3, 20, 30), dtype=torch.uint8, generator=generator)
    alone = [
        confusion_matrices(truth[None], prediction[None])[0]
        for truth, prediction in zip(truths, predictions, strict=True)
    ]
    assert torch.equal(confusion_matrices(truths, predictions), torch.stack(alone))


def test_a_gpu_counts_in_another_way_to_the_same_result():
    values = torch.randint(0, 380, (2, 1000), dtype=torch.int16, generator=torch.Generator().manual_seed(5))
    assert torch.equal(_histograms_unawaited(values, 380), _histograms(values, 380))


def matrix_of(cells: dict[tuple[int, int], int]) -> np.ndarray:
    matrix = np.zeros((19, 19), dtype=np.int32)
    for cell, count in cells.items():
        matrix[cell] = count
    return matrix


def test_scores_by_hand_with_an_undeclared_class():
    cells = {
        (ROAD, ROAD): 60,
        (ROAD, SIDEWALK): 20,
        (SIDEWALK, SIDEWALK): 10,
        (SIDEWALK, ROAD): 10,
        (SKY, ROAD): 30,
        (SKY, SKY): 70,
    }

    result = scores(matrix_of(cells), ["road", "sidewalk"])

    assert result.iou["road"] == pytest.approx(60 / (80 + 100 - 60))  # sky taken for road counts against it
    assert result.iou["sidewalk"] == pytest.approx(10 / (20 + 30 - 10))
    assert result.iou["sky"] is None
    assert list(result.iou) == list(CLASSES)
    assert result.miou == pytest.approx((0.5 + 0.25) / 2)
    assert result.pixel_accuracy == pytest.approx(70 / 100)  # sky's pixels take no part


def test_a_declared_class_that_is_never_predicted_scores_zero():
    result = scores(matrix_of({(ROAD, ROAD): 5, (BUILDING, ROAD): 5}), ["road", "building"])
    assert result.iou["building"] == 0.0
    assert result.miou == pytest.approx(0.25)


def test_a_declared_class_without_truth_is_an_error_that_names_it():
    with pytest.raises(DataError, match=r"sidewalk.*data check"):
        scores(matrix_of({(ROAD, ROAD): 5, (ROAD, SIDEWALK): 1}), ["road", "sidewalk"])


def test_counts_beyond_int32_do_not_overflow():
    matrix = np.stack([matrix_of({(ROAD, ROAD): 2**31 - 1})] * 4).sum(axis=0, dtype=np.int64)
    assert scores(matrix, ["road"]).miou == 1.0
