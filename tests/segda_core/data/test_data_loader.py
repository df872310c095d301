import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from domains import raw_config
from PIL import Image
from torch.utils.data._utils.pin_memory import pin_memory

from segda_core.config import TransformConfig, TrialConfig
from segda_core.data.dataset import StreamReader, TrainingSet, ValidationSet, sample_names
from segda_core.data.labels import read_image, read_label
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.data.sampling import candidates, epoch_order
from segda_core.data.store import open_store
from segda_core.data.transforms import shows_enough
from segda_core.errors import ConfigError, DataError
from segda_core.trials.failure import cause_of

PLAIN = {"source": {"mirror": False}, "target": {"mirror": False}}


def streams(config, **share):
    """[step][stream] -> (images, labels) of one rank with its micro-batches joined."""
    steps = []
    for micro_batches in build_loader(config, select_images(config), **share):
        assert len(micro_batches) == config.micro_batches
        steps.append({name: joined(micro_batches, name) for name in config.streams})
    return steps


def joined(micro_batches, name):
    parts = [getattr(batch, name) for batch in micro_batches]
    labels = None if parts[0].labels is None else torch.cat([part.labels for part in parts])
    return torch.cat([part.images for part in parts]), labels


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for name in one:
            assert torch.equal(one[name][0], other[name][0])
            assert one[name][1] is other[name][1] is None or torch.equal(one[name][1], other[name][1])


def test_what_a_loader_process_sends_can_be_pinned(drawn_pair, configure, monkeypatch):
    """As `DataLoader` does it in its thread where there is a GPU."""
    config = configure(drawn_pair, "adaptsegnet")
    item = TrainingSet(config, select_images(config), rank=0, ranks=1, cache=open_store())[0, 0]
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, device=None: tensor.clone())
    pinned = pin_memory(item)
    assert (pinned.indices, pinned.notes) == (item.indices, item.notes)
    for stream, (images, labels, numbers) in item.streams.items():
        own = pinned.streams[stream]
        assert own[0] is not images and torch.equal(own[0], images) and own[2] == numbers
        assert own[1] is labels is None or (own[1] is not labels and torch.equal(own[1], labels))


def test_batches_are_pinned_where_that_is_asked(drawn_pair, configure):
    config = configure(drawn_pair, "adaptsegnet")
    images = select_images(config)
    asked = [build_loader(config, images, pinned=pinned)._items.pin_memory for pinned in (True, False)]
    assert asked == [True, False]


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError("Connection reset by peer")])
def test_a_loader_process_that_is_killed_while_it_sends_counts_as_killed(drawn_pair, configure, error):
    def broken():
        yield from ()
        raise error

    loader = build_loader(configure(drawn_pair, "joint"), select_images(configure(drawn_pair, "joint")))
    loader._items = broken()
    with pytest.raises(RuntimeError) as caught:
        next(iter(loader))
    assert cause_of(caught.value) == "killed"
    assert caught.value.__cause__ is error


def test_shapes_and_types(drawn_pair, configure):
    config = configure(drawn_pair, "joint", micro_batches=2)
    micro_batches = next(iter(build_loader(config, select_images(config))))
    assert len(micro_batches) == 2
    for batch in micro_batches:
        assert batch.target is None
        for domain in (batch.source, batch.target_labelled):
            assert domain.images.shape == (2, 3, 24, 48)
            assert domain.images.dtype == torch.uint8
            assert domain.images.is_contiguous()
            assert domain.labels.shape == (2, 24, 48)
            assert domain.labels.dtype == torch.uint8
            assert set(domain.labels.unique().tolist()) <= {*range(19), 255}


def test_untransformed_samples_are_the_files(drawn_pair, configure):
    config = configure(drawn_pair, transforms=PLAIN)
    images = select_images(config)
    label_of = {str(record.image): record.label for record in images.source + images.labelled}
    for step, batches in enumerate(streams(config)):
        for name, files in sample_names(config, images, step).items():
            assert len(files) == 4
            for index, file in enumerate(files):
                pixels, labels = batches[name][0][index], batches[name][1][index]
                np.testing.assert_array_equal(pixels.permute(1, 2, 0), read_image(file))
                np.testing.assert_array_equal(labels, read_label(label_of[file]))


def test_every_epoch_shows_every_image_once(drawn_pair, configure):
    config = configure(drawn_pair, "source_only", batch_size=5)
    images = select_images(config)
    shown = [file for step in range(12) for file in sample_names(config, images, step)["source"]]
    epochs = [shown[start : start + 12] for start in range(0, 60, 12)]
    assert all(set(epoch) == {str(record.image) for record in images.source} for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_streams_and_seeds_have_orders_of_their_own():
    orders = [tuple(epoch_order(50, seed, stream, 0)) for seed in (0, 1) for stream in ("source", "target")]
    assert len(set(orders)) == 4
    assert list(candidates(3, 0, "source", 4)) == [int(epoch_order(3, 0, "source", 1)[i]) for i in (1, 2, 0)]


def test_seed_changes_samples(drawn_pair, configure):
    zero, one = (streams(configure(drawn_pair, seed=seed)) for seed in (0, 1))
    assert not torch.equal(zero[0]["source"][0], one[0]["source"][0])


def test_restart_at_any_step(drawn_pair, configure):
    config = configure(drawn_pair, micro_batches=2)
    whole = streams(config)
    assert len(whole) == 6
    for step in (1, 4, 6):
        assert_equal(streams(config, first_step=step), whole[step:])


@pytest.mark.parametrize(("ranks", "micro_batches"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_ranks_and_micro_batches_share_the_same_global_batch(drawn_pair, configure, ranks, micro_batches):
    whole = streams(configure(drawn_pair))
    config = configure(drawn_pair, ranks=ranks, micro_batches=micro_batches)
    shares = [streams(config, rank=rank, ranks=ranks) for rank in range(ranks)]
    for step, expected in enumerate(whole):
        for name in config.streams:
            parts = [share[step][name] for share in shares]
            got = torch.cat([images.flatten(1) for images, _ in parts])
            want = expected[name][0].flatten(1)
            assert sorted(got.tolist()) == sorted(want.tolist())
            assert sum(int(labels.sum()) for _, labels in parts) == int(expected[name][1].sum())


def test_two_ranks_split_as_two_micro_batches(drawn_pair, configure):
    accumulated = configure(drawn_pair, micro_batches=2)
    shared = configure(drawn_pair, ranks=2)
    for rank in range(2):
        first = next(iter(build_loader(accumulated, select_images(accumulated))))[rank]
        second = next(iter(build_loader(shared, select_images(shared), rank=rank, ranks=2)))[0]
        assert torch.equal(first.source.images, second.source.images)


@pytest.mark.processes
def test_loader_processes_change_nothing(drawn_pair, configure):
    whole = streams(configure(drawn_pair, micro_batches=2))
    for workers in (1, 2):
        assert_equal(streams(configure(drawn_pair, micro_batches=2, workers=workers)), whole)


def test_global_random_states_stay(drawn_pair, configure):
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    before = states()
    streams(configure(drawn_pair))
    assert states() == before


def test_target_never_opens_a_label(pair, configure):
    with_labels = streams(configure(pair, "adaptsegnet"))
    shutil.rmtree(pair / "camera/gtFine/train")
    without = streams(configure(pair, "adaptsegnet"))
    assert all(step["target"][1] is None for step in without)
    assert_equal(with_labels, without)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-60])


def test_truncated_image_fails_by_name(pair, configure):
    truncate(pair / "game/images/00003.png")
    with pytest.raises(DataError, match=r"^/.*images/00003.png: cannot be read: .*truncated"):
        streams(configure(pair))


@pytest.mark.processes
def test_loader_process_fails_by_name(pair, configure):
    truncate(pair / "game/images/00003.png")
    with pytest.raises(DataError, match=r"^/.*images/00003.png: cannot be read: .*truncated"):
        streams(configure(pair, workers=2))


def test_colour_label_fails_by_name(pair, configure):
    Image.fromarray(np.zeros((32, 64, 3), dtype=np.uint8)).save(pair / "game/labels/00003.png")
    with pytest.raises(DataError, match=r"labels/00003.png: label of mode RGB"):
        streams(configure(pair))


def test_skipped_image_is_replaced_by_the_next_of_the_epoch(pair, configure, caplog):
    truncate(pair / "game/images/00003.png")
    Image.fromarray(np.zeros((32, 64, 3), dtype=np.uint8)).save(pair / "game/labels/00007.png")
    config = configure(pair, "source_only", on_bad="skip", transforms=PLAIN)
    images = select_images(config)
    loader = build_loader(config, images)
    bad = {2, 6}
    with caplog.at_level(logging.WARNING):
        for step, [batch] in enumerate(loader):
            for index in range(4):
                epoch, offset = divmod(step * 4 + index, 12)
                order = np.roll(epoch_order(12, 0, "source", epoch), -offset)
                number = next(int(number) for number in order if number not in bad)
                expected = read_image(images.source[number].image)
                np.testing.assert_array_equal(batch.source.images[index].permute(1, 2, 0), expected)
    assert sorted(name.rsplit("/", 1)[1] for name in loader.notes.skipped) == ["00003.png", "00007.png"]
    assert [record.message.split(":")[0] for record in caplog.records] == ["skipped", "skipped"]


@pytest.mark.processes
def test_skipping_is_the_same_with_loader_processes(pair, configure, caplog):
    truncate(pair / "game/images/00003.png")
    alone = streams(configure(pair, on_bad="skip"))
    config = configure(pair, on_bad="skip", workers=2)
    assert_equal(streams(config), alone)
    assert sum("skipped: " in record.message for record in caplog.records) == 2


def test_nothing_readable(pair, configure):
    for path in (pair / "game/images").iterdir():
        truncate(path)
    with pytest.raises(DataError, match="none of 12 images of stream source can be read"):
        streams(configure(pair, on_bad="skip"))


def test_label_of_another_size_is_resized_and_counted(pair, configure, caplog):
    small = np.full((16, 32), 7, dtype=np.uint8)
    small[:, 16:] = 26
    Image.fromarray(small).save(pair / "game/labels/00003.png")
    config = configure(pair, "source_only", transforms=PLAIN, steps=3)
    images = select_images(config)
    loader = build_loader(config, images)
    for step, [batch] in enumerate(loader):
        for index, file in enumerate(sample_names(config, images, step)["source"]):
            if file.endswith("00003.png"):
                assert batch.source.labels[index].tolist() == [[0] * 32 + [13] * 32] * 32
    assert [name.rsplit("/", 1)[1] for name in loader.notes.resized] == ["00003.png"]
    assert list(loader.notes.resized.values()) == ["(32, 16), image (64, 32)"]
    assert len(caplog.records) == 1


def test_different_sizes_in_one_batch(pair, configure):
    Image.fromarray(np.zeros((40, 64, 3), dtype=np.uint8)).save(pair / "game/images/00003.png")
    with pytest.raises(DataError, match=r"sizes \[\(64, 32\), \(64, 40\)\] in one batch: set crop .* source"):
        streams(configure(pair, transforms=PLAIN))


def test_validation_set_gives_whole_files(drawn_pair, configure):
    records = select_images(configure(drawn_pair)).validation
    validation = ValidationSet(records)
    assert len(validation) == 4
    image, label, skipped = validation[2]
    assert records[2].name == "lindau/lindau_000012_000019"
    assert not skipped
    np.testing.assert_array_equal(image, read_image(records[2].image))
    np.testing.assert_array_equal(label, read_label(records[2].label))


def test_validation_image_that_cannot_be_read(pair, configure, caplog):
    truncate(select_images(configure(pair)).validation[1].image)
    with pytest.raises(DataError, match=r"lindau_000011_000019_leftImg8bit.png: cannot be read"):
        ValidationSet(select_images(configure(pair)).validation)[1]
    image, label, skipped = ValidationSet(select_images(configure(pair, on_bad="skip")).validation)[1]
    assert image.shape[:2] == label.shape
    assert (label == 255).all()
    assert skipped
    assert "lindau_000011_000019_leftImg8bit.png" in caplog.text


@pytest.mark.processes
def test_loader_processes_ignore_the_groups_signals(drawn_pair, configure):
    config = configure(drawn_pair, workers=2, steps=200)
    steps = iter(build_loader(config, select_images(config)))
    list(islice(steps, 3))
    for child in torch.multiprocessing.active_children():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            os.kill(child.pid, number)
    assert sum(1 for _ in steps) == 197


TRAINS_FOR_EVER = """
import json, multiprocessing, sys, time
from segda_core.config import TrialConfig
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
config = TrialConfig.model_validate_json(sys.argv[1])
steps = iter(build_loader(config, select_images(config)))
next(steps)
print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
time.sleep(100)
"""


@pytest.mark.processes
def test_loader_processes_die_with_their_parent(drawn_pair):
    config = TrialConfig.model_validate_json(json.dumps(raw_config(drawn_pair, workers=2, steps=10_000)))
    command = [sys.executable, "-c", TRAINS_FOR_EVER, config.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        children = json.loads(parent.stdout.readline())
        assert len(children) == 2
        parent.kill()
    deadline = time.monotonic() + 4  # torch's own watchdog looks every 5 s
    while any(alive(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def shown_values(configure, root, min_values, **changes):
    """Values in each of 120 source crops' labels."""
    source = {"crop": [24, 16], "min_values": min_values, **changes}
    config = configure(root, "source_only", transforms={"source": source})
    reader = StreamReader("source", config, select_images(config), open_store())
    labels = [reader.sample(step, index)[1] for step in range(30) for index in range(4)]
    return np.array([len(np.unique(label)) for label in labels])


def test_a_crop_is_drawn_anew_up_to_nine_times_until_its_label_shows_enough_values(drawn_pair, configure):
    plain, never = (shown_values(configure, drawn_pair, number) for number in (0, 20))
    wanted = int(np.median(plain)) + 1
    asked = shown_values(configure, drawn_pair, wanted)
    assert (plain >= wanted).mean() <= 0.5 < 0.8 < (asked >= wanted).mean()
    kept = plain >= wanted
    assert (asked[kept] == plain[kept]).all()  # the first crop, where it is good
    assert (never != plain).any() and never.max() < 20  # the last one, where none is


def test_ignored_pixels_are_one_of_the_values():
    label = np.array([[0, 1, 255]], dtype=np.uint8)
    assert shows_enough(label, TransformConfig(min_values=3))
    assert not shows_enough(label, TransformConfig(min_values=4))


def test_values_are_asked_only_of_a_target_with_labels(drawn_pair, configure):
    transforms = {"target": {"crop": [24, 16], "min_values": 3}}
    configure(drawn_pair, "supervised", transforms=transforms)
    with pytest.raises(ConfigError, match=r"transforms\.target\.min_values needs labels"):
        configure(drawn_pair, "adaptsegnet", transforms=transforms)
