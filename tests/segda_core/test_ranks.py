"""Two gloo ranks against one process: all of it in one start of two processes, which is what costs time."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from ranks import endings, start_ranks
from trials import CONTRACT, pseudo_label_config, small_config, write_trial

from segda_core.data.index import scan
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.distributed import World, connect
from segda_core.engine import Engine
from segda_core.inference.evaluation import build_predictor, evaluate
from segda_core.process import StopRequest, Verdict
from segda_core.pseudo_labels import labels_of_target
from segda_core.trials.execution import Execution
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.layout import TrialFiles
from segda_core.trials.made_files import make_and_publish
from segda_core.trials.parents import digest

STEPS = 3
SYNCHRONISED = ["joint", "ema_classmix", "adaptsegnet+contrastive"]
"""With batch norm, which sees one micro-batch at a time, but of all ranks."""
CASES = [
    *((method, micro_batches, "group") for method in CONTRACT for micro_batches in (1, 2)),
    *((method, 2, "batch") for method in SYNCHRONISED),
]


def config_of(root: Path, method: str, micro_batches: int, norm: str, ranks: int):
    model = {"name": "tiny", "width": 8, "norm": norm}
    changes = {"model": model, "sync_batch_norm": norm == "batch", "micro_batches": micro_batches}
    return small_config(root, method, **changes, ranks=ranks, steps=2 * STEPS)


def train(root: Path, method: str, micro_batches: int, norm: str, world: World) -> dict:
    """How far each network moved in three steps, and the losses of the global batch."""
    config = config_of(root, method, micro_batches, norm, world.ranks)
    engine = Engine(config, world, {"teacher": root / "teacher.pt"})
    networks = engine.method.networks()
    before = {name: flat(network) for name, network in networks.items()}
    images = select_images(config, outputs={"labels": root / "labels"})
    loader = build_loader(config, images, rank=world.rank, ranks=world.ranks)
    for step, batches in zip(range(STEPS), loader, strict=False):
        engine.backward(batches, step)
        engine.advance(step)
    return {
        "moved": {name: flat(network) - before[name] for name, network in networks.items()},
        "weights": {name: flat(network) for name, network in networks.items()},
        "losses": engine.meter.read(world, STEPS).means,
    }


def flat(network: torch.nn.Module) -> torch.Tensor:
    """Parameters and saved buffers in one copy; not what instance norm takes away again, as biases.

    Their gradients are rounding errors, of which Adam makes whole steps.
    """
    norms = any(isinstance(module, torch.nn.InstanceNorm2d) for module in network.modules())
    tensors = [tensor for tensor in network.state_dict().values() if tensor.ndim > 1 or not norms]
    return torch.cat([tensor.detach().flatten().clone() for tensor in tensors])


def score(root: Path, world: World):
    config = small_config(root)
    torch.manual_seed(0)
    engine = Engine(config.model_copy(update={"ranks": world.ranks}), world)
    predictor = build_predictor(engine.method.segmenter, "single", config.evaluation)
    return evaluate(predictor, scan(config.data.domains["target"], "val").records, world)


def label(root: Path, out: Path, world: World) -> str:
    """The hash of the pseudo labels that the ranks write together."""
    config = pseudo_label_config(root, ranks=world.ranks)
    trial = TrialFiles(out / "labelling")
    if world.is_main:
        write_trial(trial.root, config)
    world.agree(Verdict.CONTINUE)
    files, stop = trial.attempt(1), StopRequest()
    execution = Execution(trial, files, world, stop, Heartbeat(trial, files, stop))
    make_and_publish(config, execution, partial(labels_of_target, config))
    world.agree(Verdict.CONTINUE)
    return digest(files.root / "labels")


def equal_on_all_ranks(tensor: torch.Tensor) -> bool:
    gathered = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, tensor)
    return all(torch.equal(other, tensor) for other in gathered)


def broadcast_buffers_reach_every_rank(world: World) -> bool:
    norm = torch.nn.BatchNorm2d(2)
    norm.running_mean += world.rank + 1
    world.broadcast_buffers([norm])
    return norm.running_mean.tolist() == [1.0, 1.0]


def work(root: Path, out: Path) -> None:
    torch.set_num_threads(1)
    with connect(2) as world:
        results = {case: train(root, *case, world) for case in CASES}
        equal = all(
            equal_on_all_ranks(weights)
            for result in results.values()
            for weights in result["weights"].values()
        )
        scored = score(root, world)
        facts = {
            "equal": equal,
            "agreed": int(world.agree(Verdict.SAVE if world.rank == 1 else Verdict.CONTINUE)),
            "path": world.from_main("3.pt" if world.is_main else None),
            "buffers": broadcast_buffers_reach_every_rank(world),
            "labels": label(root, out, world),
            "matrices": None if scored is None else torch.from_numpy(scored.matrices),
        }
    torch.save({"results": results, "facts": facts}, out / f"{world.rank}.pt")


@pytest.fixture(scope="module")
def two_ranks(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks")
    assert endings(start_ranks(2, work, root, out)) == [0, 0]
    return [torch.load(out / f"{rank}.pt") for rank in (0, 1)]


@pytest.fixture(scope="module")
def one_rank(root):
    with connect(1) as world:
        alone = {(method, "group"): train(root, method, 1, "group", world) for method in CONTRACT}
        return alone | {(method, "batch"): train(root, method, 2, "batch", world) for method in SYNCHRONISED}


@pytest.mark.processes
@pytest.mark.parametrize(("method", "micro_batches", "norm"), CASES)
def test_two_ranks_train_as_one(method, micro_batches, norm, two_ranks, one_rank):
    both, alone = two_ranks[0]["results"][method, micro_batches, norm], one_rank[method, norm]
    assert both["moved"].keys() == alone["moved"].keys()
    bound = 2e-2 if method == "cyclegan" else 1e-3  # Adam alone, whose first steps ask for signs
    for name, expected in alone["moved"].items():
        assert expected.norm() > 0
        assert (both["moved"][name] - expected).norm() < bound * expected.norm()
    assert both["losses"] == pytest.approx(alone["losses"], rel=1e-4)


@pytest.mark.processes
def test_weights_are_equal_on_all_ranks_after_three_steps(two_ranks):
    assert all(rank["facts"]["equal"] for rank in two_ranks)


@pytest.mark.processes
def test_losses_of_the_global_batch_are_read_alike_on_both_ranks(two_ranks):
    for case in CASES:
        assert two_ranks[0]["results"][case]["losses"] == two_ranks[1]["results"][case]["losses"]


@pytest.mark.processes
def test_two_ranks_evaluate_as_one(two_ranks, root):
    with connect(1) as world:
        alone = score(root, world)
    assert two_ranks[1]["facts"]["matrices"] is None
    assert np.array_equal(two_ranks[0]["facts"]["matrices"].numpy(), alone.matrices)


@pytest.mark.processes
def test_two_ranks_write_the_pseudo_labels_that_one_does(two_ranks, root, tmp_path):
    with connect(1) as world:
        assert {rank["facts"]["labels"] for rank in two_ranks} == {label(root, tmp_path, world)}


@pytest.mark.processes
def test_one_ranks_wish_to_stop_is_everyones(two_ranks):
    assert [rank["facts"]["agreed"] for rank in two_ranks] == [Verdict.SAVE, Verdict.SAVE]


@pytest.mark.processes
def test_what_the_main_rank_says_and_holds_reaches_the_others(two_ranks):
    assert [rank["facts"]["path"] for rank in two_ranks] == ["3.pt", "3.pt"]
    assert all(rank["facts"]["buffers"] for rank in two_ranks)
