import shutil

import numpy as np
import pytest
import torch
from trials import VALIDATION, small_config

from segda_core.config import Domain, TinyConfig
from segda_core.data.index import scan
from segda_core.data.labels import read_image, read_label
from segda_core.distributed import World
from segda_core.inference.evaluation import (
    build_predictor,
    equal_sizes,
    evaluate,
    protocol_digest,
    resolved_protocol,
)
from segda_core.models import build_segmenter
from segda_core.process import Leave, StopRequest, Verdict

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture
def config(root):
    return small_config(root)


@pytest.fixture
def records(config):
    return scan(config.data.domains["target"], "val").records


@pytest.fixture
def predictor(config):
    torch.manual_seed(0)
    return build_predictor(build_segmenter(TinyConfig(name="tiny", width=8)), "single", config.evaluation)


def test_every_image_has_its_own_matrix(predictor, records):
    result = evaluate(predictor, records, ALONE)

    assert result.names == [record.name for record in records]
    assert result.skipped == []
    assert result.matrices.shape == (VALIDATION, 19, 19)
    predictor.segmenter.eval()
    for record, matrix in zip(records, result.matrices, strict=True):
        truth = read_label(record.label)
        prediction = predictor.predict([read_image(record.image)], truth.shape[::-1])[0].numpy()
        expected = np.zeros((19, 19), dtype=np.int64)
        np.add.at(expected, (truth[truth != 255], prediction[truth != 255]), 1)
        assert np.array_equal(matrix, expected)


def test_ranks_share_the_images_without_meeting_one_twice(predictor, records):
    whole = evaluate(predictor, records, ALONE).matrices
    first = evaluate(predictor, records[0::2], ALONE).matrices
    second = evaluate(predictor, records[1::2], ALONE).matrices
    assert np.array_equal(whole[0::2], first)
    assert np.array_equal(whole[1::2], second)


def test_images_that_could_not_be_read_are_named(predictor, root, tmp_path, config):
    shutil.copytree(root / "target", tmp_path / "target")
    domain = Domain(layout="cityscapes", root=str(tmp_path / "target"), on_bad="skip")
    records = scan(domain, "val").records
    whole = evaluate(predictor, records, ALONE).matrices
    records[1].image.write_bytes(b"no picture")
    records[4].label.write_bytes(b"no picture")
    result = evaluate(predictor, records, ALONE)
    assert result.skipped == [str(records[1].image), str(records[4].image)]
    assert not result.matrices[[1, 4]].any()
    assert np.array_equal(np.delete(result.matrices, [1, 4], 0), np.delete(whole, [1, 4], 0))


def test_training_mode_is_restored_and_statistics_stay(predictor, records):
    segmenter = predictor.segmenter.train()
    before = {name: buffer.clone() for name, buffer in segmenter.named_buffers()}
    evaluate(predictor, records, ALONE)
    assert segmenter.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in segmenter.named_buffers())


def test_a_request_to_stop_ends_it(predictor, records):
    stop = StopRequest()
    stop.ask(Verdict.SAVE)
    with pytest.raises(Leave) as leave:
        evaluate(predictor, records, ALONE, stop=stop)
    assert leave.value.verdict == Verdict.SAVE
    assert predictor.segmenter.training


def sample(image: tuple[int, int], label: tuple[int, int]):
    return np.zeros((*image, 3), np.uint8), np.zeros(label, np.uint8), False


def test_groups_hold_equal_sizes_and_bounded_pixels():
    small, large = ((4, 8), (4, 8)), ((8, 8), (8, 8))
    samples = [sample(*size) for size in (small, small, small, large, small)]
    groups = [[label.shape for _, label, _ in group] for group in equal_sizes(samples, most_pixels=64)]
    assert groups == [[(4, 8), (4, 8)], [(4, 8)], [(8, 8)], [(4, 8)]]


def test_an_image_larger_than_the_bound_is_a_group_of_its_own():
    assert len(list(equal_sizes([sample((8, 8), (8, 8))], most_pixels=1))) == 1


def test_the_resolved_protocol_says_what_was_done(predictor, records, config):
    protocol = resolved_protocol("single", config.evaluation, predictor, records, ("small", 1))
    assert protocol["name"] == "single"
    assert (protocol["data"], protocol["version"]) == ("small", 1)
    assert protocol["label_size"] == [64, 32]
    assert protocol["input_sizes"] == [[64, 32]]
    assert (protocol["mirror"], protocol["fusion"]) == (False, "main")
    assert (protocol["align_corners"], protocol["network"]) == (False, "student")
    assert len(protocol["split_manifest"]) == 64


def test_protocols_that_differ_have_other_digests(predictor, records, config):
    def digest(name, chosen):
        return protocol_digest(resolved_protocol(name, config.evaluation, predictor, chosen, ("small", 1)))

    digests = {digest("single", records), digest("multi_scale", records), digest("single", records[1:])}
    assert len(digests) == 3
    assert digest("single", records) in digests


@pytest.mark.processes
def test_loader_processes_change_nothing(predictor, records):
    alone = evaluate(predictor, records, ALONE)
    helped = evaluate(predictor, records, ALONE, workers=2)
    assert np.array_equal(alone.matrices, helped.matrices)
