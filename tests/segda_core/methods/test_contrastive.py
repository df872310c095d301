"""Contrastive learning as an option of a method: what counts at each level, and what gets no gradient."""

import copy
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from trials import CONTRASTIVE, SMALL

from segda_core.config import METHOD_CONFIGS, Stream
from segda_core.contrast.average import Averaged
from segda_core.contrast.pairs import pair_losses

LEVELS = ("image", "region", "prototype")
CELLS = "contrast_source_cells"
OPTIONS = {"name": "adaptsegnet", **SMALL["adaptsegnet"]}


def later(batch, step):
    """Other images with other labels."""

    def changed(domain):
        labels, numbers = domain.labels, (2 * step, 2 * step + 1)
        if labels is not None:
            labels = torch.where(labels == 255, labels, (labels + 5 * step) % 19)
            return replace(domain, labels=labels, numbers=numbers)
        return replace(domain, images=domain.images.roll(7 * step, dims=3), numbers=numbers)

    domains = {stream: getattr(batch, stream) for stream in get_args(Stream)}
    return replace(batch, **{stream: changed(each) for stream, each in domains.items() if each is not None})


@pytest.fixture(scope="module")
def states():
    """What trials of this module were after some steps, by these and their options."""
    return {}


@pytest.fixture
def trained(build, batch, states):
    """A trial some steps of `batch` on, so that queues and prototypes hold something."""

    def make(steps=4, **changes):
        trial, key = build("group", contrastive={**CONTRASTIVE, **changes}, **OPTIONS), repr((steps, changes))
        networks = trial.method.networks()
        if key not in states:
            trial.method.average.segmenter.main_head.weight.data.mul_(1000)  # sure of what it predicts
            for step in range(steps):
                trial.backward([later(batch, step)], step)
            states[key] = {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}
        for name, network in networks.items():
            network.load_state_dict(states[key][name])
            for parameter in network.parameters():
                parameter.grad = None
        return trial

    return make


@pytest.fixture
def batch(batches, join):
    """Labels in large areas, as images of streets have them."""
    batch = join(batches("adaptsegnet"))
    areas(batch.source.labels)
    return batch


def areas(labels):
    """Give images (batch, height, width) other classes in every 8 rows and 16 columns."""
    for image, each in enumerate(labels):
        for number, part in enumerate(each.split(8, dim=0)):
            for place, area in enumerate(part.split(16, dim=1)):
                area[:] = (number + 3 * place + 7 * image * (1 + number)) % 19


def test_every_level_counts_and_no_gradient_reaches_keys(trained, batch):
    trial = trained()
    losses = trial.backward([later(batch, 4)], 4)
    assert all(losses[f"segmenter/contrast_{level}"] > 0 for level in LEVELS)
    networks = trial.method.networks()
    assert all(parameter.grad is None for parameter in networks["contrast_average"].parameters())
    assert all(p.grad is not None and p.grad.any() for p in networks["contrast_heads"].parameters())
    assert networks["segmenter"].stem[0][0].weight.grad.any()


@pytest.mark.parametrize("name", [name for name, each in METHOD_CONFIGS.items() if each.trains_segmenter()])
def test_every_method_that_trains_a_segmenter_takes_every_level(build, batches, join, name):
    trial = build("group", contrastive=CONTRASTIVE, **{"name": name, **SMALL.get(name, {})})
    batch = join(batches(name))
    for each in (batch.source, batch.target_labelled, batch.target_pseudo):
        if each is not None:
            areas(each.labels)
    for step in range(5):
        losses = trial.backward([later(batch, step)], step)
    assert all(losses[f"segmenter/contrast_{level}"] > 0 for level in LEVELS)
    streams = trial.method.memory.streams
    assert streams["source"] == METHOD_CONFIGS[name].streams[0]
    assert ("target" in streams) == (len(METHOD_CONFIGS[name].streams) == 2)
    gradients = trial.gradients()
    assert all(g is not None and g.isfinite().all() for g in gradients.values())


def test_labels_say_what_the_target_of_joint_shows(build, batches, join):
    trial, batch = build("group", contrastive=CONTRASTIVE, name="joint"), join(batches("joint", 2))
    areas(batch.target_labelled.labels)
    batch.target_labelled.labels[0, :8] = 255
    (prepared,) = trial.prepare([batch], 0)
    assert trial.method.memory.streams == {"source": "source", "target": "target_labelled"}
    for image, labels in enumerate(batch.target_labelled.labels):
        known = labels[labels != 255]
        wanted = [(known == c).float().mean().item() for c in range(19)]
        assert prepared.counts["contrast_target_image_shares"][image].tolist() == pytest.approx(wanted)
    assert prepared.counts["contrast_target_image_usable"].tolist() == [1, 1]


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_alone_gives_what_it_gives_beside_the_others(trained, batch, level):
    alone = {other: None for other in LEVELS if other != level}
    together, single = trained(), trained(steps=0, **alone)
    state = {name: network.state_dict() for name, network in together.method.networks().items()}
    for name, network in single.method.networks().items():
        network.load_state_dict({key: state[name][key] for key in network.state_dict()})
    losses, own = (trial.backward([later(batch, 4)], 4) for trial in (together, single))
    assert [name for name in own if "contrast" in name] == [f"segmenter/contrast_{level}"]
    value = losses[f"segmenter/contrast_{level}"]
    assert own[f"segmenter/contrast_{level}"] == pytest.approx(value, rel=1e-5) and value > 0


def test_target_crops_are_anchors_once_their_queue_is_full(trained, batch):
    """Eight places, two crops a step: after four steps."""
    trial = trained(steps=3, region=None, prototype=None)
    networks, memory, level = trial.method.networks(), trial.method.memory, trial.method.options.image
    for step, domains in ((3, ["source"]), (4, ["source", "target"])):
        (prepared,) = trial.prepare([later(batch, step)], step)
        losses, _ = trial.updates[0](later(batch, step), prepared, {}, step)
        keys, own = memory.image_keys(), []
        for domain in ("source", "target"):
            features = networks["segmenter"].with_features(getattr(later(batch, step), domain).images)[1]
            anchors = networks["contrast_heads"](features)["image"]
            pairs = memory.image_pairs(domain, prepared.counts, keys, level)
            assert pairs.counted.any()
            if domain in domains:
                own += pair_losses(anchors, keys["keys"], pairs, 0.1)[pairs.counted].tolist()
        wanted = 0.1 * np.mean(own)
        assert losses["contrast_image"].item() == pytest.approx(wanted, rel=1e-4)


def test_regions_are_compared_with_those_of_the_steps_other_crops(trained, batch):
    """The mean over the anchors of both domains that count."""
    trial = trained(image=None, prototype=None)
    networks, memory, level = trial.method.networks(), trial.method.memory, trial.method.options.region
    (prepared,) = trial.prepare([later(batch, 4)], 4)
    losses, _ = trial.updates[0](later(batch, 4), prepared, {}, 4)
    keys, own = memory.region_keys(prepared.counts), []
    for domain in ("source", "target"):
        features = networks["segmenter"].with_features(getattr(later(batch, 4), domain).images)[1]
        anchors = networks["contrast_heads"](features)["region"].flatten(0, 1)
        pairs = memory.region_pairs(domain, prepared.counts, keys, level)
        own += pair_losses(anchors, keys["keys"], pairs, 0.1)[pairs.counted].tolist()
    assert len(own) > 4 and losses["contrast_region"].item() == pytest.approx(0.1 * np.mean(own), rel=1e-4)


def test_half_precision_is_near_single_precision(trained, batch):
    """Of equal keys and pairs: those of bf16 are others where similarities are near a quantile."""
    losses, gradients = [], []
    for bf16 in (False, True):
        trial = trained()
        (prepared,) = trial.prepare([later(batch, 4)], 4)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            found, _ = trial.updates[0](later(batch, 4), prepared, {}, 4)
        sum(found[f"contrast_{level}"] for level in LEVELS).backward()
        losses.append([found[f"contrast_{level}"].item() for level in LEVELS])
        heads = trial.method.networks()["contrast_heads"]
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in heads.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert 0 < (gradients[1] - gradients[0]).norm() < 0.1 * gradients[0].norm()


def test_weights_rise_from_their_start(trained, batch):
    late = {**CONTRASTIVE["region"], "start": 5, "ramp": 3}
    losses = [trained(region=late).backward([later(batch, 9)], step) for step in (4, 5, 7, 8, 9)]
    values = np.array([each["segmenter/contrast_region"] for each in losses])
    assert values[0] == 0 and (values / values[-1]).tolist() == pytest.approx([0, 0.25, 0.75, 1, 1], rel=0.05)


@pytest.mark.parametrize("histograms", ["weighted", "shuffled"])
def test_micro_batches_add_up_to_the_whole_batch(build, batches, join, histograms):
    parts, contrastive = batches("adaptsegnet", 3), {**CONTRASTIVE, "histograms": histograms}
    whole, split = (build("group", batch_size=3, contrastive=contrastive, **OPTIONS) for _ in range(2))
    for step in range(3):
        losses = whole.backward([join(parts)], step)
        assert split.backward(parts, step) == pytest.approx(losses, rel=1e-4)
    found = split.gradients()
    for name, gradient in whole.gradients().items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_batch_norm_and_weights_are_those_without_levels_where_these_weigh_nothing(
    build, batches, join, micro_batches
):
    """Dropout draws for the levels' own pass, and the micro-batches that follow are none the wiser."""
    parts = batches("adaptsegnet")
    parts = [join(parts)] if micro_batches == 1 else parts
    weightless = {level: {**CONTRASTIVE[level], "weight": 0} for level in LEVELS}
    states, dropout = [], torch.nn.Dropout2d(0.5)
    for contrastive in (None, {**CONTRASTIVE, **weightless}):
        trial = build("batch", contrastive=contrastive, **OPTIONS)
        before = {name: values.clone() for name, values in trial.method.segmenter.state_dict().items()}
        trial.method.segmenter.main_head.register_forward_pre_hook(lambda _, inputs: dropout(*inputs))
        for step in range(2):
            torch.manual_seed(step)  # as the engine does
            trial.backward(parts, step)
            trial.step()
            for update in trial.updates:
                update.optimizer.zero_grad()
        states.append(trial.method.segmenter.state_dict())
    without, weightless = states
    assert {"running_mean", "running_var", "num_batches_tracked"} < {name.split(".")[-1] for name in without}
    for name, values in without.items():
        assert torch.equal(weightless[name], values), name
        assert name in ("mean", "std") or not torch.equal(before[name], values), name


def test_crops_without_a_label_cost_nothing(build, batch):
    """Each source anchor and cell falls away; of the target there is nothing to compare with."""
    batch.source.labels.fill_(255)
    trial = build("group", contrastive={**CONTRASTIVE, "anchors": "source"}, **OPTIONS)
    for step in range(2):
        losses = trial.backward([batch], step)
    assert [losses[f"segmenter/contrast_{level}"] for level in LEVELS] == [0, 0, 0]
    assert all(g is not None and g.isfinite().all() for g in trial.gradients().values())


@pytest.mark.parametrize("name", ["joint", "supervised", "pseudo_label"])
def test_labels_of_the_target_that_are_all_ignored_cost_nothing(build, batches, join, name):
    batch = join(batches(name))
    for domain in (batch.source, batch.target_labelled, batch.target_pseudo):
        if domain is not None:
            domain.labels.fill_(255)
    trial = build("group", contrastive=CONTRASTIVE, **{"name": name, **SMALL.get(name, {})})
    for step in range(2):
        losses = trial.backward([batch], step)
    assert [losses[f"segmenter/contrast_{level}"] for level in LEVELS] == [0, 0, 0]
    assert all(g is not None and g.isfinite().all() for g in trial.gradients().values())


def test_controls_choose_other_pairs(trained, batch):
    chosen = {}
    for kind in ("weighted", "raw", "shuffled"):
        trial = trained(histograms=kind, region=None, prototype=None)
        (prepared,) = trial.prepare([later(batch, 4)], 4)
        memory = trial.method.memory
        pairs = memory.image_pairs("source", prepared.counts, memory.image_keys(), memory.options.image)
        chosen[kind] = pairs.weights
    assert not torch.equal(chosen["shuffled"] > 0, chosen["weighted"] > 0)
    assert not torch.equal(chosen["raw"], chosen["weighted"])
    assert trained(anchors="source").method.memory.streams == {"source": "source"}


def test_projections_learn_at_the_heads_rate_also_after_a_warm_up(build):
    warm_up = {"warmup_steps": 3, "warmup_start": 0.1}
    (update, *_) = build("group", contrastive=CONTRASTIVE, schedule=warm_up, **OPTIONS).updates
    rates = []
    for _ in range(5):
        groups = {group["name"]: group["lr"] for group in update.optimizer.param_groups}
        rates.append((groups["contrast"], groups["heads"]))
        update.optimizer.step()
        update.schedule.step()
    assert all(own == heads > 0 for own, heads in rates)


class Called(TorchDispatchMode):
    """Names of the operations that ran."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(str(func).split(".")[1])
        return func(*args, **(kwargs or {}))


def test_an_update_takes_no_value_from_the_host_and_gives_it_none(trained, batch):
    """lift_fresh: a tensor of Python numbers, to be copied to the device; the others wait for the device."""
    trial = trained()
    (prepared,) = trial.prepare([later(batch, 4)], 4)
    with Called() as called:
        losses, _ = trial.updates[0](later(batch, 4), prepared, {}, 4)
        sum(losses.values()).backward()
    assert {"sort", "topk", "convolution"} <= called.names
    assert not called.names & {"lift_fresh", "_local_scalar_dense", "nonzero", "masked_select", "is_nonzero"}


@pytest.mark.parametrize("cooccurrence", [False, True])
def test_cells_are_drawn_to_their_classs_mean_from_those_seen_with_it(trained, batch, cooccurrence):
    prototype = {**CONTRASTIVE["prototype"], "cooccurrence": cooccurrence}
    trial = trained(image=None, region=None, prototype=prototype, anchors="source")
    shown = np.zeros((0, 19))  # by the five steps' source crops, each of which the memory has seen
    for step in range(5):
        labels = later(batch, step).source.labels.numpy()
        shown = np.vstack([shown, [[(one == c).mean() >= 0.001 for c in range(19)] for one in labels]])
    weights = 1 + cooccurrence * (shown.T @ shown) / 10
    np.fill_diagonal(weights, 1)
    (prepared,) = trial.prepare([later(batch, 4)], 4)
    cells = prepared.tensors[CELLS]
    embeddings = torch.nn.functional.normalize(torch.randn(2, 8, *cells.shape[1:]), dim=1).requires_grad_()
    update, memory = trial.updates[0], trial.method.memory.prototypes
    means, seen = memory.means.double().numpy(), memory.seen.numpy()
    assert seen.sum() > 5 and (weights > 1).any() == cooccurrence
    again = embeddings.detach().double().requires_grad_()
    e = (torch.einsum("bdhw,cd->bhwc", again, torch.tensor(means)) / 0.1).exp() * torch.tensor(seen)
    own = [(place, c) for place, c in np.ndenumerate(cells.numpy()) if c != 255 and seen[c]]
    each = [-(e[place][c] / (e[place] * torch.tensor(weights[c])).sum()).log() for place, c in own]
    wanted = torch.stack(each).mean()
    got = update._prototype_level({"source": embeddings}, prepared, trial.method.options.prototype)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-4)
    gradients = [
        torch.autograd.grad(loss, of)[0].float() for loss, of in ((got, embeddings), (wanted, again))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)
    assert ("both" in trial.method.memory.seen.state_dict()) == cooccurrence


def test_prototypes_are_means_of_the_averaged_networks_source_cells_of_all_steps(build, batch):
    """Not of the student's, which is another network here, nor of the target's, which is there as well."""
    trial = build("group", contrastive={**CONTRASTIVE, "image": None, "region": None}, **OPTIONS)
    method = trial.method
    with torch.no_grad():
        for parameter in [*method.segmenter.parameters(), *method.heads.parameters()]:
            parameter.add_(0.1 * torch.randn_like(parameter))
    networks = {"average": method.average, "student": Averaged(method.segmenter, method.heads)}
    sums, count = {name: np.zeros((19, 8)) for name in networks}, np.zeros(19)
    for step in range(3):
        (prepared,) = trial.prepare([later(batch, step)], step)
        assert prepared.counts["contrast_target_cells"].sum() > 0
        source = later(batch, step).source
        keys = {name: keys_of(network, source.images) for name, network in networks.items()}
        for (image, row, column), c in np.ndenumerate(classes_of_cells(source.labels, keys["average"])):
            if c != 255:
                count[c] += 1
                for name in networks:
                    sums[name][c] += keys[name][image, :, row, column].numpy()
    assert method.memory.prototypes.seen.tolist() == (count > 0).tolist() and len(set(count)) > 2
    wanted = {name: each / np.maximum(count, 1)[:, None] for name, each in sums.items()}
    np.testing.assert_allclose(method.memory.prototypes.means, wanted["average"], rtol=1e-4, atol=1e-5)
    assert np.abs(wanted["student"] - wanted["average"]).max() > 0.1


@torch.no_grad()
def keys_of(network, images):
    features = network.segmenter.with_features(images)[1]
    return torch.nn.functional.normalize(network.heads.prototype(features), dim=1)


def classes_of_cells(labels, keys):
    """(batch, h, w): the class of half of a cell's pixels at least, or 255."""
    classes = np.full((len(keys), *keys.shape[2:]), 255)
    height, width = labels.shape[1] // keys.shape[2], labels.shape[2] // keys.shape[3]
    for image, row, column in np.ndindex(classes.shape):
        rows, columns = row * height, column * width
        pixels = labels[image, rows : rows + height, columns : columns + width].flatten()
        counts = np.bincount(pixels, minlength=256)[:19]
        if counts.max() >= 0.5 * height * width:
            classes[image, row, column] = counts.argmax()
    return classes


def test_prototype_scores_are_single_precision_under_autocast(trained, batch):
    """Of the same embeddings: what the projections make of bf16 is another matter."""
    trial = trained(image=None, region=None)
    (prepared,) = trial.prepare([later(batch, 4)], 4)
    embeddings = torch.nn.functional.normalize(torch.randn(2, 8, *prepared.tensors[CELLS].shape[1:]), dim=1)
    losses = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            level = trial.method.options.prototype
            losses.append(trial.updates[0]._prototype_level({"source": embeddings}, prepared, level))
    assert losses[0] == losses[1] > 0
