from dataclasses import replace

import torch
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from trials import small_config

from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.distributed import World
from segda_core.engine import Engine, network_seed, sum_counts
from segda_core.trials.meter import LossMeter, Pace

ALONE = World(0, 1, torch.device("cpu"))


def test_gradients_are_reduced_once_a_step_for_each_update(root, world):
    config = small_config(root, "adaptsegnet", micro_batches=4)
    engine = Engine(config, replace(world, ranks=2))  # wrapped as one of two; the group itself has one
    reduced: list[int] = []

    def count(number, bucket):
        if bucket.is_last():
            reduced.append(number)
        return allreduce_hook(None, bucket)

    for number, wrapped in enumerate(engine.wrapped):
        wrapped.module.register_comm_hook(number, count)
    for step, batches in zip(range(2), build_loader(config, select_images(config)), strict=False):
        engine.backward(batches, step)
        engine.advance(step)

    assert len(engine.wrapped) == 3
    assert reduced == [0, 1, 2, 0, 1, 2]


def test_alone_nothing_is_reduced(root, world):
    engine = Engine(small_config(root, "adaptsegnet"), world)
    assert [wrapped.module for wrapped in engine.wrapped] == [wrapped.update for wrapped in engine.wrapped]


def test_randomness_inside_networks_follows_seed_step_and_rank(root, world):
    config = small_config(root, "source_only", seed=5)
    engine = Engine(config, world)
    loader = build_loader(config, select_images(config), first_step=3)
    engine.backward(next(iter(loader)), 3)
    assert torch.initial_seed() == network_seed(5, 3, 0)
    assert len({network_seed(*numbers) for numbers in ((5, 3, 0), (5, 3, 1), (5, 4, 0), (6, 3, 0))}) == 4


def test_the_seed_alone_decides_the_first_weights(root, world):
    def weights(seed):
        torch.rand(7)
        return Engine(small_config(root, seed=seed), world).method.segmenter.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_counts_add_up_over_micro_batches():
    counts = [{"a": torch.tensor(3.0), "b": torch.tensor(1)}, {"a": torch.tensor(4.5), "b": torch.tensor(2)}]
    total = sum_counts(counts, ALONE)
    assert (total["a"].item(), total["b"].item()) == (7.5, 3)
    assert total["b"].dtype == torch.int64
    assert sum_counts([{}, {}], ALONE) == {}


def test_counts_keep_their_shapes():
    counts = [{"by_class": torch.tensor([[1, 2], [3, 4]]), "pixels": torch.tensor(5.5)}] * 3
    total = sum_counts(counts, ALONE)
    assert total["by_class"].tolist() == [[3, 6], [9, 12]]
    assert total["pixels"].shape == () and total["pixels"].item() == 16.5


def test_the_meter_averages_over_steps_and_remembers_the_first_bad_one():
    meter = LossMeter()
    for step, value in enumerate((1.0, 2.0, 6.0)):
        meter.add({"good": torch.tensor(value), "other": torch.tensor(0.5)}, step)
    assert meter.is_finite()
    reading = meter.read(ALONE, 3)
    assert reading.means == {"good": 3.0, "other": 0.5}
    assert not reading.first_bad

    for step, value in ((3, 1.0), (4, 2.0), (5, float("inf")), (6, float("nan"))):
        meter.add({"good": torch.tensor(float(step)), "other": torch.tensor(value)}, step)
    assert not meter.is_finite()
    reading = meter.read(ALONE, 4)
    assert reading.first_bad == {"other": 5}
    assert reading.means == {"good": 3.5, "other": 1.5}
    meter.add({"good": torch.tensor(float("nan")), "other": torch.tensor(1.0)}, 7)
    assert meter.read(ALONE, 0).means == {}


def test_the_meter_adds_the_micro_batches_of_a_step_up():
    meter = LossMeter()
    for step, value in ((0, 1.0), (0, 2.0), (1, 3.0), (1, 4.0), (2, 5.0), (2, float("nan"))):
        meter.add({"loss": torch.tensor(value)}, step)
    reading = meter.read(ALONE, 2)
    assert (reading.means, reading.first_bad) == ({"loss": 5.0}, {"loss": 2})


def test_the_pace_counts_only_its_own_window(monkeypatch):
    now = 100.0
    monkeypatch.setattr("segda_core.trials.meter.time.perf_counter", lambda: now)
    pace = Pace(images_per_step=8)
    pace.restart()
    pace.steps, pace.waited = 5, 1.0
    now = 104.0
    assert pace.read() == (10.0, 0.25)
    assert (pace.steps, pace.waited, pace.train_seconds) == (0, 0.0, 4.0)
    now = 150.0  # an evaluation
    pace.restart()
    now = 151.0
    pace.steps = 1
    assert pace.read() == (8.0, 0.0)
    assert pace.train_seconds == 5.0
