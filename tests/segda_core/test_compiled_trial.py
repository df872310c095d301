"""`compile: true`, with what torch really makes of the blocks on this machine."""

import json
import shutil

import pytest
import torch
from torch._dynamo.utils import counters
from trials import run, small_config, write_trial

from segda_core import checkpoint

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Compiled blocks of no one else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def compiled(root, tmp_path_factory):
    trial = write_trial(tmp_path_factory.mktemp("runs") / "compiled", small_config(root, compile=True))
    counters.clear()
    run(trial)
    return trial


def losses(trial):
    rows = [json.loads(line) for line in trial.attempt(1).history.read_text().splitlines()]
    return [value for row in rows for value in row.get("losses", {}).values()]


def test_scoring_in_other_sizes_compiles_nothing(compiled):
    assert counters["stats"]["unique_graphs"] == 5  # as many as blocks that differ


def test_losses_are_those_of_the_blocks_as_written(compiled, root, tmp_path):
    usual = write_trial(tmp_path / "usual", small_config(root))
    run(usual)
    assert len(losses(usual)) >= 6
    assert losses(compiled) == pytest.approx(losses(usual), rel=1e-4)


def test_a_later_attempt_finds_them_compiled_and_resumes_bit_for_bit(compiled, root, tmp_path):
    trial = write_trial(tmp_path / "resumed", small_config(root, compile=True), attempts=2)
    shutil.copytree(compiled.attempt(1).checkpoints, trial.attempt(1).checkpoints)
    for later in ("6.pt", "final.pt"):
        (trial.attempt(1).checkpoints / later).unlink()
    torch._dynamo.reset()
    counters.clear()

    run(trial, 2)

    assert counters["inductor"]["fxgraph_cache_hit"] + counters["aot_autograd"]["autograd_cache_hit"] > 0
    assert counters["inductor"]["fxgraph_cache_miss"] + counters["aot_autograd"]["autograd_cache_miss"] == 0
    whole, resumed = (
        checkpoint.load(each.attempt(number).checkpoints / "6.pt")["networks"]["segmenter"]
        for each, number in ((compiled, 1), (trial, 2))
    )
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
