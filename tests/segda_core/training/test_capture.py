"""Recorded passes: CPUs repeat operations under the rules of a CUDA graph, see `replayed_operations`."""

from contextlib import contextmanager

import pytest
import torch
from pretended_streams import pretended_streams
from replayed_operations import ReplayedOperations
from trials import CONTRACT, MINED, SMALL, small_config

from segda_core.config import TrialConfig
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.engine import Engine
from segda_core.errors import ConfigError
from segda_core.methods.base import Batch, DomainBatch, Prepared
from segda_core.models.blocks import classifier
from segda_core.training import capture
from segda_core.training.lanes import Lanes, opened

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="stands in for a GPU that is not there")

RECORDED = [name for name in (*CONTRACT, *MINED) if name != "cyclegan" and not name.endswith("+contrastive")]

STEPS = 4
"""One as usual, one that is recorded and replayed, two replayed on its memory."""


@pytest.fixture
def recording(monkeypatch):
    made = ReplayedOperations()
    monkeypatch.setattr("segda_core.training.capture.RECORDED_AFTER", 1)
    monkeypatch.setattr(
        "segda_core.engine.recording_for", lambda config, device: made if config.capture else None
    )
    return made


def trained(root, world, kind, *, captured, **changes):
    config = small_config(root, kind, capture=captured, steps=STEPS, **changes)
    made = {"labels": root / "labels", "teacher": root / "teacher.pt"}
    engine = Engine(config, world, made)
    for step, batches in enumerate(build_loader(config, select_images(config, outputs=made))):
        engine.backward(batches, step)
        engine.advance(step)
    return engine, engine.meter.read(world, STEPS)


def assert_equal(first, second, equal=torch.equal):
    (one, losses), (other, same) = first, second
    assert losses == same
    for name, network in one.method.networks().items():
        others = other.method.networks()[name].state_dict()
        for key, tensor in network.state_dict().items():
            assert equal(tensor, others[key]), (name, key)


def assert_only_kept_memory_is_read(recording, engine):
    """A replay reads what lay there while recording: networks, and what each step's tensors are copied to."""
    captured = engine.captured
    known = list(capture.tensors_of(captured._batches, captured._prepared))
    for network in engine.method.networks().values():
        known += [*network.parameters(), *network.buffers()]
    assert set(recording.before) <= {tensor.untyped_storage().data_ptr() for tensor in known}


@pytest.mark.slow
@pytest.mark.parametrize("method", RECORDED)
def test_replayed_passes_train_as_unrecorded_ones_do(method, root, world, recording):
    changes = {"micro_batches": 2, "clip_norm": 1.0}
    usual = trained(root, world, method, captured=False, **changes)
    replayed = trained(root, world, method, captured=True, **changes)
    assert_equal(usual, replayed)
    assert (recording.recorded, recording.replayed) == (1, STEPS - 1)
    assert_only_kept_memory_is_read(recording, replayed[0])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adaptsegnet", "mrnet", "joint", "ema_classmix"])
def test_replayed_passes_in_lanes_train_as_unrecorded_ones_do(method, root, world, recording, monkeypatch):
    changes = {"micro_batches": 2, "model": {"name": "tiny", "width": 8, "norm": "batch"}}
    usual = trained(root, world, method, captured=False, **changes)
    with pretended_streams() as streams:
        in_lanes = Lanes(torch.device("cpu"))
        for name in ("warm_up", "record"):
            monkeypatch.setattr(recording, name, within(in_lanes, getattr(recording, name)))
        replayed = trained(root, world, method, captured=True, **changes)
    assert len({moment.stream for moment in streams.issued}) > 2
    assert_equal(usual, replayed, equal=torch.allclose)  # averages are put together in another order
    assert (recording.recorded, recording.replayed) == (1, STEPS - 1)
    assert_only_kept_memory_is_read(recording, replayed[0])


def within(in_lanes, method):
    def run_within(run):
        with opened(in_lanes):
            return method(run)

    return run_within


@pytest.mark.slow
@pytest.mark.parametrize("change", ["batch norm", "dropout", "a later start"])
def test_what_moves_with_the_steps_moves(change, root, world, recording, monkeypatch):
    changes = {"batch norm": {"model": {"name": "tiny", "width": 8, "norm": "batch"}}}.get(change, {})
    if change == "dropout":
        monkeypatch.setattr("segda_core.models.tiny.classifier", with_dropout)
    monkeypatch.setitem(SMALL["mrnet"], "mr_start", 2 if change == "a later start" else 0)
    usual = trained(root, world, "mrnet", captured=False, **changes)
    replayed = trained(root, world, "mrnet", captured=True, **changes)
    assert_equal(usual, replayed)
    assert recording.replayed == STEPS - 1
    assert_only_kept_memory_is_read(recording, replayed[0])


def test_another_size_is_recorded_anew():
    recording, ran = Counted(), []

    def passes(batches, prepared, step):
        ran.append(step)
        return [{"loss": batches[0].source.images.sum() + prepared[0].tensors["kept"]}]

    captured = capture.Captured(passes, recording)
    kept = [torch.tensor(100 * step) for step in range(10)]
    for step, width in enumerate((4, 4, 4, 4, 4, 6, 6, 6, 6, 6)):
        images = torch.full((1, 3, 2, width), step)
        (shares,) = captured(
            [Batch(source=DomainBatch(images, None))], [Prepared(tensors={"kept": kept[step]})], step
        )
        assert shares["loss"] == step * images.numel() + 100 * step
    assert [each.item() for each in kept] == [100 * step for step in range(10)]
    assert ran == [0, 1, 2, 3, 5, 6, 7, 8]
    assert (recording.warmed, recording.recorded, recording.replayed) == (6, 2, 4)
    assert recording.forgotten_after == [0, 5]


class Counted(ReplayedOperations):
    """Notes how many steps had run when it was to forget, and those run as usual."""

    def __init__(self):
        super().__init__()
        self.warmed, self.forgotten_after = 0, []

    def warm_up(self, run):
        self.warmed += 1
        return super().warm_up(run)

    def forget(self):
        self.forgotten_after.append(self.warmed + self.replayed)
        super().forget()


def test_which_images_they_are_is_an_error_while_recording(root, world, recording, monkeypatch):
    monkeypatch.setattr(TrialConfig, "_check_capture", lambda config: None)
    with pytest.raises(RuntimeError, match="stack expects a non-empty"):
        trained(root, world, "cyclegan", captured=True)


@pytest.mark.parametrize("fails", ["run", "run, and with it the end"])
def test_memory_that_runs_out_while_recording_is_told_as_that(fails, monkeypatch):
    """A lane that is not joined makes the graph's end fail too, which is not the cause."""

    @contextmanager
    def graph(*words, **options):
        try:
            yield
        finally:
            if fails != "run":
                raise RuntimeError("capturing stream has unjoined work")

    def run():
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("torch.cuda.Stream", lambda device: None)
    monkeypatch.setattr("torch.cuda.CUDAGraph", lambda: None)
    monkeypatch.setattr("torch.cuda.graph", graph)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        capture.CudaGraph(torch.device("cpu")).record(run)


def test_without_a_gpu_steps_run_as_usual(root, world, caplog):
    caplog.set_level("INFO")
    engine, _ = trained(root, world, "source_only", captured=True)
    assert engine.captured is None
    assert "there is no GPU" in caplog.text


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("joint", {"ranks": 2}, "capture needs one rank; ranks is 2"),
        ("cyclegan", {"model": None}, "capture cannot record method cyclegan"),
        ("joint+contrastive", {}, "capture cannot record contrastive"),
    ],
)
def test_what_cannot_be_recorded_is_refused(method, changes, message, root):
    with pytest.raises(ConfigError, match=message):
        small_config(root, method, capture=True, **changes)


def with_dropout(inputs, outputs):
    return torch.nn.Sequential(torch.nn.Dropout2d(0.5), classifier(inputs, outputs))
