"""Every method's own computations on a GPU, which need not be there: nothing of a step is left on the host.

A value fetched from the device would also stop a step from being captured (DESIGN: no host synchronisation).
"""

from contextlib import nullcontext

import pytest
import torch
from pretended_gpu import CUDA, NothingFromTheHost, pretended_gpu
from torch._subclasses.fake_tensor import DataDependentOutputException
from trials import CONTRACT, CONTRASTIVE, MINED, SMALL

from segda_core.engine import to_device
from segda_core.methods.contrastive import Contrastive
from segda_core.methods.cyclegan import CycleGan

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")

MICRO_BATCHES = 2


@pytest.fixture
def trial(build):
    """(method, perhaps with an addition) -> it, made on the device."""

    def make(name):
        method, _, addition = name.partition("+")
        options = {**SMALL.get(method, {}), **SMALL.get(name, {})}
        contrastive = CONTRASTIVE if addition == "contrastive" else None
        with torch.device(CUDA):
            return build(contrastive=contrastive, batch_size=MICRO_BATCHES, name=method, **options)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CONTRACT, *MINED])
def test_a_step_stays_on_the_device_and_waits_for_nothing(trial, batches, name, monkeypatch):
    # its gradient would need a backward pass
    monkeypatch.setattr("segda_core.methods.mrnet.gradient_penalty", lambda scores, _: scores.float().mean())
    with pretended_gpu():
        made = trial(name)
        micro = [to_device(batch, CUDA) for batch in batches(name.partition("+")[0], MICRO_BATCHES)]
        for step in range(2):
            with torch.autocast("cuda", dtype=torch.bfloat16):
                shares = losses_of(made, micro[step:], step)
            assert shares and all(loss.device.type == "cuda" and loss.shape == () for loss in shares)
            with torch.no_grad():
                made.method.after_step(step)
        for network in made.method.networks().values():
            assert {tensor.device.type for tensor in network.state_dict().values()} == {"cuda"}


def is_recorded(method):
    """Whether `capture` takes it."""
    return not isinstance(method, CycleGan | Contrastive)


def losses_of(trial, micro, step):
    """Of every update, over the micro-batches."""
    losses = []
    for batch, ready in zip(micro, trial.prepare(micro, step), strict=True):
        carried = {}
        for update in trial.updates:
            with NothingFromTheHost() if is_recorded(trial.method) else nullcontext():
                shares, carried = update(batch, ready, carried, step)
            assert all(tensor.device.type == "cuda" for tensor in carried.values())
            losses += shares.values()
    return losses


@pytest.mark.parametrize("wrong", ["data.dependent", "tensor of the host"])
def test_a_value_fetched_or_left_on_the_host_is_found(trial, batches, wrong):
    with pretended_gpu():
        made = trial("source_only")
        (update,) = made.updates
        forward = update.forward

        def spoilt(batch, prepared, carried, step):
            losses, carried = forward(batch, prepared, carried, step)
            loss = next(iter(losses.values()))
            factor = loss.item() if wrong == "data.dependent" else torch.ones(()).to(CUDA)
            return {"spoilt": loss * factor}, carried

        update.forward = spoilt
        micro = [to_device(batch, CUDA) for batch in batches("source_only")]
        with pytest.raises((DataDependentOutputException, AssertionError), match=rf"{wrong}|local_scalar"):
            losses_of(made, micro, 0)
