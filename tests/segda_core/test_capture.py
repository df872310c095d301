"""Recorded passes: CPUs repeat operations under the rules of a CUDA graph, see `replayed_operations`."""

import pytest
import torch
from replayed_operations import ReplayedOperations
from trials import CONTRACT, MINED, SMALL, small_config, write_domains

from segda_core import capture
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.distributed import connect
from segda_core.engine import Engine
from segda_core.errors import ConfigError
from segda_core.models.blocks import classifier

STEPS = 4
"""One as usual, one that is recorded and replayed, two replayed on its memory."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("domains")
    write_domains(folder)
    return folder


@pytest.fixture
def world():
    with connect(1) as joined:
        yield joined


@pytest.fixture
def recording(monkeypatch):
    made = ReplayedOperations()
    monkeypatch.setattr("segda_core.capture.WARM_UP", 1)
    monkeypatch.setattr(
        "segda_core.engine.recording_for", lambda config, device: made if config.capture else None
    )
    return made


def trained(root, world, kind, *, captured, steps=STEPS, **changes):
    config = small_config(root, kind, capture=captured, steps=steps, **changes)
    made = {"labels": root / "labels", "teacher": root / "teacher.pt"}
    engine = Engine(config, world, made)
    for step, batches in enumerate(build_loader(config, select_images(config, outputs=made))):
        engine.backward(batches, step)
        engine.advance(step)
    return engine, engine.meter.read(world, steps)


def assert_equal(first, second):
    (one, losses), (other, same) = first, second
    assert losses == same
    for name, network in one.method.networks().items():
        others = other.method.networks()[name].state_dict()
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, others[key]), (name, key)


@pytest.mark.parametrize("method", [*CONTRACT, *MINED])
def test_replayed_passes_train_as_unrecorded_ones_do(method, root, world, recording):
    changes = {"micro_batches": 2, "clip_norm": 1.0}
    usual = trained(root, world, method, captured=False, **changes)
    replayed = trained(root, world, method, captured=True, **changes)
    assert_equal(usual, replayed)
    recordable = replayed[0].method.phase(0) is not None
    assert recording.recorded == recordable


def test_passes_are_recorded_anew_in_another_phase(root, world, recording, monkeypatch):
    monkeypatch.setitem(SMALL["mrnet"], "mr_start", 3)
    usual = trained(root, world, "mrnet", captured=False, steps=6)
    replayed = trained(root, world, "mrnet", captured=True, steps=6)
    assert_equal(usual, replayed)
    assert recording.recorded == 2
    assert replayed[0].passes.replayed == 4


def test_random_numbers_are_those_of_the_step(root, world, recording, monkeypatch):
    monkeypatch.setattr("segda_core.models.tiny.classifier", with_dropout)
    assert_equal(*(trained(root, world, "joint", captured=captured) for captured in (False, True)))
    assert recording.recorded == 1


def test_what_a_replay_would_leave_out_is_an_error_while_recording(root, world, recording, monkeypatch):
    monkeypatch.setattr("segda_core.methods.cyclegan.CycleGan.phase", lambda method, step: ())
    with pytest.raises(RuntimeError, match="stack expects a non-empty"):
        trained(root, world, "cyclegan", captured=True)


def test_without_a_gpu_steps_run_as_usual(root, world, caplog):
    caplog.set_level("INFO")
    engine, _ = trained(root, world, "source_only", captured=True, steps=1)
    assert not isinstance(engine.passes, capture.Captured)
    assert "there is no GPU" in caplog.text
    assert isinstance(engine.wrapped[0].module, torch.nn.parallel.DistributedDataParallel)


def test_several_ranks_are_refused(root):
    with pytest.raises(ConfigError, match="capture needs one rank; ranks is 2"):
        small_config(root, capture=True, ranks=2)


def with_dropout(inputs, outputs):
    return torch.nn.Sequential(torch.nn.Dropout2d(0.5), classifier(inputs, outputs))
