"""Which part of a step waits for which, on streams that are not there: see `pretended_streams`."""

import copy
from contextlib import contextmanager
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from pretended_gpu import CUDA, pretended_gpu
from pretended_streams import Stream, pretended_streams
from trials import small_config

from segda_core.config import TinyConfig
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.engine import Engine, to_device
from segda_core.methods.base import Batch, DomainBatch
from segda_core.models import build_segmenter
from segda_core.training import lanes
from segda_core.transfer import Copies

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="stands in for a GPU that is not there")

METHODS = ["adaptsegnet", "mrnet", "joint", "student_selftrain", "ema_classmix"]
"""Those with several passes in one update, or several updates."""

BATCH_NORM = {"name": "tiny", "width": 8, "norm": "batch"}


@pytest.fixture
def streams():
    with pretended_streams() as made:
        yield made


@pytest.fixture
def in_lanes(streams):
    with lanes.opened(lanes.Lanes(torch.device("cpu"))):
        yield streams


def first_step(root, world, method, **changes):
    """An engine and the micro-batches of its first step."""
    made = {"teacher": root / "teacher.pt"}
    if method != "student_selftrain":  # whose parent's weights have no batch norm
        changes["model"] = BATCH_NORM
    config = small_config(root, method, micro_batches=2, **changes)
    engine = Engine(config, world, made)
    return engine, next(iter(build_loader(config, select_images(config, outputs=made))))


def test_an_update_runs_beside_the_backward_pass_of_the_one_before(root, world, in_lanes):
    engine, batches = first_step(root, world, "adaptsegnet")
    moments = {}

    def watched(number, forward):
        def run(*inputs):
            if number:
                assert in_lanes.current.is_behind(moments[f"forward {number - 1}"])
                assert not in_lanes.current.is_behind(moments[f"backward {number - 1}"])
            else:  # everything of the micro-batch before
                assert all(in_lanes.current.is_behind(moment) for moment in moments.values())
            losses, carried = forward(*inputs)
            moments[f"forward {number}"] = in_lanes.current.issue()

            def went_back(gradient):
                moments[f"backward {number}"] = in_lanes.current.issue()

            next(iter(losses.values())).register_hook(went_back)
            for tensor in inputs[2].values():
                assert any(tensor is one and on is in_lanes.current for one, on in in_lanes.recorded)
            return losses, carried

        return run

    for number, wrapped in enumerate(engine.wrapped):
        wrapped.update.forward = watched(number, wrapped.update.forward)
    engine.backward(batches, 0)
    assert len(moments) == 2 * len(engine.wrapped) == 6
    assert in_lanes.current is in_lanes.main
    assert all(in_lanes.main.is_behind(moment) for moment in moments.values())


def test_passes_run_side_by_side_and_are_joined(in_lanes):
    before, moments, results = in_lanes.main.issue(), [], (torch.rand(2), torch.rand(2))

    def one_pass(result):
        assert in_lanes.current.is_behind(before)
        assert not any(in_lanes.current.is_behind(moment) for moment in moments)
        moments.append(in_lanes.current.issue())
        return (result, None)

    found = lanes.side_by_side([lambda each=each: one_pass(each) for each in results], [])
    assert [each[0] is result for each, result in zip(found, results, strict=True)] == [True, True]
    assert all(in_lanes.main.is_behind(moment) for moment in moments)
    assert [(id(tensor), on) for tensor, on in in_lanes.recorded] == [(id(r), in_lanes.main) for r in results]
    assert in_lanes.current is in_lanes.main


def test_lanes_are_lent_again_once_joined(streams):
    lent = lanes.Lanes(torch.device("cpu"))
    with lanes.opened(lent):
        for _ in range(3):
            used = {lent.fork(): None, lent.fork(): None}
            lanes.join()
            assert len(used) == 2 and list(used) == lent._streams


def test_without_lanes_everything_runs_in_its_place(streams):
    order = []

    def one_pass(number):
        order.append(number)
        assert streams.current is streams.main
        return (torch.zeros(1),)

    assert not lanes.are_open() and lanes.mark() is None
    lanes.side_by_side([lambda: one_pass(0), lambda: one_pass(1)], [])
    with lanes.behind(None, [torch.zeros(1)]):
        one_pass(2)
    lanes.join()
    assert order == [0, 1, 2] and not streams.recorded


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_operation_of_a_step_misses_a_wait(method, precision, root, world, in_lanes):
    engine, batches = first_step(root, world, method, precision=precision)
    engine.backward(batches, 0)
    assert len({moment.stream for moment in in_lanes.issued}) > 2


@contextmanager
def moving_together(network):
    yield lambda: None


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("segda_core.models.base.statistics_apart", moving_together),
        ("torch.clear_autocast_cache", lambda: None),
        ("pretended_streams.Stream.wait_stream", lambda stream, other: None),
    ],
)
def test_a_missing_wait_is_found(name, broken, root, world, in_lanes, monkeypatch):
    engine, batches = first_step(root, world, "joint", precision="bf16")
    monkeypatch.setattr(name, broken)
    with pytest.raises(AssertionError, match="does not wait for another stream"):
        engine.backward(batches, 0)


def test_passes_in_lanes_are_those_that_follow_each_other():
    torch.manual_seed(0)
    batches = [torch.randint(0, 256, (2, 3, 32, 48), dtype=torch.uint8) for _ in range(3)]
    usual = build_segmenter(TinyConfig(**BATCH_NORM))
    apart = copy.deepcopy(usual)
    wanted = passes(usual, [usual.at_image_size(images) for images in batches])
    with pretended_streams(), lanes.opened(lanes.Lanes(torch.device("cpu"))):
        found = passes(apart, apart.each_at_image_size(*batches))
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))
    torch.testing.assert_close(apart.state_dict(), usual.state_dict())


def passes(segmenter, each):
    """Logits and gradients."""
    heads = [head for logits in each for head in logits.heads.values()]
    torch.stack([head.square().mean() for head in heads]).sum().backward()
    return [*heads, *(parameter.grad for parameter in segmenter.parameters())]


def test_a_steps_images_come_while_the_one_before_is_computed():
    with pretended_gpu():
        images, labels = (torch.zeros(2, *size, 4, 4, dtype=torch.uint8) for size in ((3,), ()))
        with pretended_streams() as streams:
            computed, copies = streams.main.issue(), Stream()
            moved = to_device(Batch(source=DomainBatch(images, labels)), CUDA, copies).source
            assert (moved.images.sum() + moved.labels.sum()).shape == ()
            copied = [moment for moment in streams.issued if moment.stream is copies]
    assert (moved.images.device.type, moved.labels.dtype) == ("cuda", torch.int64)
    assert len(copied) == 2 and not copies.is_behind(computed)
    assert all(streams.main.is_behind(moment) for moment in copied)
    assert [on for _, on in streams.recorded] == [streams.main] * 2


def test_the_host_is_at_most_two_steps_ahead(monkeypatch):
    numbers, waited = count(), []

    def stream(device):
        def record_event():
            return SimpleNamespace(synchronize=partial(waited.append, next(numbers)))

        return SimpleNamespace(device=device, record_event=record_event)

    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, stream)
    copies = Copies(CUDA)
    for done in ([], [], [0], [0, 1], [0, 1, 2]):
        copies.begin_step()
        assert waited == done
