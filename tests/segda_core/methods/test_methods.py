"""Contract of every method in METHODS, and the losses of those without a file of their own."""

import copy
from typing import get_args

import pytest
import torch
from pydantic import ValidationError
from trials import SMALL

from segda_core.config import METHOD_CONFIGS, Stream
from segda_core.methods import METHODS
from segda_core.methods.base import SegmenterMethod, Used

VARIANTS = [
    *({"name": name} for name in METHODS),
    {"name": "adaptsegnet", "levels": "single", "gan": "lsgan"},
    {"name": "joint", "lambda_aux": 0.0},
    {"name": "ema_classmix", "values_from": "image", "masked": {"patch": 8}, "threshold": 0.0545},
    {"name": "mrnet", "lambda_entropy": 0.1},
    {"name": "pseudo_label", "rectify": False},
    {"name": "supervised", "class_balance": {"small_class_pixels": 100}},
]

MINED = [
    {"name": "mrnet", "hard_percentile": 80},
    {"name": "supervised", "class_balance": {"small_class_pixels": 100}, "hard_percentile": 80},
]
"""As published. The percentile is each micro-batch's own: N of them do not equal one."""


def described(variant):
    return "-".join(str(value) for value in variant.values())


@pytest.fixture(params=[*VARIANTS, *MINED], ids=described)
def variant(request):
    return {**SMALL.get(request.param["name"], {}), **request.param}


def test_every_method_has_its_streams_and_label_rule():
    assert METHODS.keys() == METHOD_CONFIGS.keys()
    for settings in METHOD_CONFIGS.values():
        assert ("target_labelled" in settings.streams) == (settings.target_labels == "required")


def test_a_step_has_finite_losses_and_moves_every_trained_parameter(build, batches, join, variant):
    trial = build(**variant)
    networks = trial.method.networks()
    before = {name: copy.deepcopy(network) for name, network in networks.items()}
    losses = trial.backward([join(batches(variant["name"]))])
    if isinstance(trial.method, SegmenterMethod):
        assert networks["segmenter"] is trial.method.segmenter
    assert losses and all(0 <= loss < 100 for loss in losses.values())
    assert all(gradient is not None and gradient.isfinite().all() for gradient in trial.gradients().values())
    trial.step()
    for name, network in networks.items():
        for old, new in zip(before[name].parameters(), network.parameters(), strict=True):
            assert new.requires_grad != torch.equal(old, new) or not new.grad.any(), name
    (final,) = trial.method.final().values()
    (name,) = [name for name, network in networks.items() if network is final]
    pairs = zip(before[name].parameters(), final.parameters(), strict=True)
    assert any(not torch.equal(old, new) for old, new in pairs)


def test_updates_own_each_trained_parameter_once_and_share_none(build, variant):
    trial = build(**variant)
    owned = [id(parameter) for update in trial.updates for parameter in update.parameters()]
    stepped = [
        id(parameter)
        for update in trial.updates
        for group in update.optimizer.param_groups
        for parameter in group["params"]
    ]
    networks = trial.method.networks().values()
    trained = {id(p) for network in networks for p in network.parameters() if p.requires_grad}
    assert sorted(owned) == sorted(stepped) == sorted(trained)
    assert len({update.name for update in trial.updates}) == len(trial.updates)


def test_batches_are_left_as_they_were(build, batches, variant):
    trial, (batch,) = build(**variant), batches(variant["name"], 1)
    before = copy.deepcopy(batch)
    trial.backward([batch])
    for stream in get_args(Stream):
        domain, old = getattr(batch, stream), getattr(before, stream)
        assert (domain is None) == (stream not in METHOD_CONFIGS[variant["name"]].streams)
        if domain is not None:
            assert torch.equal(domain.images, old.images)
            assert (domain.labels is None) == (stream == "target")
            assert domain.labels is None or torch.equal(domain.labels, old.labels)


@pytest.mark.parametrize("variant", VARIANTS, ids=described, indirect=True)
def test_micro_batches_add_up_to_the_whole_batch(build, batches, join, variant):
    parts = batches(variant["name"], 3)
    whole, split = (build(norm="group", batch_size=3, **variant) for _ in range(2))
    losses = whole.backward([join(parts)])
    assert split.backward(parts) == pytest.approx(losses, rel=1e-4)
    found = split.gradients()
    for name, gradient in whole.gradients().items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_half_precision_is_near_single_precision(build, batches, join, variant):
    """Of all but discriminators: an untrained one's gradients are differences of like numbers (see below)."""
    batch = join(batches(variant["name"]))
    single, half = build(norm="group", **variant), build(norm="group", **variant)
    losses = single.backward([batch])
    assert half.backward([batch], bf16=True) == pytest.approx(losses, rel=0.01)
    exact, rough = (
        torch.cat([g.flatten() for name, g in trial.gradients().items() if "discriminator" not in name])
        for trial in (single, half)
    )
    assert exact.dtype == rough.dtype == torch.float32
    bound = 0.5 if variant["name"] == "cyclegan" else 0.05  # the gradient of |x| is a sign
    assert 0 < (rough - exact).norm() < bound * exact.norm()


ADVERSARIAL = [
    v for v in VARIANTS if v["name"] in ("adaptsegnet", "mrnet", "student_more_images", "cyclegan")
]


@pytest.mark.parametrize("variant", ADVERSARIAL, ids=described, indirect=True)
def test_half_precision_of_discriminators_that_tell_domains_apart(build, batches, join, variant):
    batch, gradients = join(batches(variant["name"])), []
    for bf16 in (False, True):
        trial = build(norm="group", **variant)
        names = [name for name in trial.method.networks() if "discriminator" in name]
        torch.manual_seed(0)
        for parameter in [p for name in names for p in trial.method.networks()[name].parameters()]:
            torch.nn.init.normal_(parameter, std=0.1)
        trial.backward([batch], bf16=bf16)
        gradients.append(
            {
                name: torch.cat([p.grad.flatten() for p in trial.method.networks()[name].parameters()])
                for name in names
            }
        )
    exact, rough = gradients
    assert exact
    for name in exact:
        assert 0 < (rough[name] - exact[name]).norm() < 0.25 * exact[name].norm(), name


def test_labels_that_are_all_ignored_cost_nothing(build, batches, variant):
    trial, (batch,) = build(**variant), batches(variant["name"], 1)
    for domain in (batch.source, batch.target_labelled, batch.target_pseudo):
        if domain is not None:
            domain.labels.fill_(255)
    losses = trial.backward([batch])
    if not isinstance(trial.method, SegmenterMethod):
        return
    taught = trial.method.config.method.learns_from_teacher
    needs_labels = ("source", "mixed", "labelled", *([] if taught else ["target"]))
    supervised = {
        name: loss
        for name, loss in losses.items()
        if name.startswith(tuple(f"segmenter/{n}" for n in needs_labels))
    }
    assert supervised and set(supervised.values()) == {0.0}
    assert all(gradient.isfinite().all() for gradient in trial.gradients().values())


def test_learning_rate_of_every_update_falls_with_the_steps(build, batches, variant):
    trial = build(**variant)
    trial.backward(batches(variant["name"], 1))
    first = [update.optimizer.param_groups[0]["lr"] for update in trial.updates]
    trial.step()
    second = [update.optimizer.param_groups[0]["lr"] for update in trial.updates]
    constant = variant["name"] == "cyclegan"  # up to half of the steps
    assert second == pytest.approx([lr * (1 if constant else (1 - 1 / 10) ** 0.9) for lr in first])


def cross_entropy(segmenter, domain):
    """(main, aux) means over labelled pixels, written out."""
    valid = domain.labels != 255
    picked = domain.labels.where(valid, 0)[:, None]
    heads = segmenter.at_image_size(domain.images)
    return [-head.log_softmax(1).gather(1, picked)[:, 0][valid].mean() for head in heads]


def expect(trial, batch, wanted):
    """Losses and gradients of the segmenter are those of the written-out terms."""
    parameters = list(trial.method.segmenter.parameters())
    gradients = torch.autograd.grad(sum(wanted.values()), parameters)
    losses = trial.backward([batch])
    assert losses == pytest.approx({name: term.item() for name, term in wanted.items()}, rel=1e-5)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "stream"), [("source_only", "source"), ("supervised", "target_labelled")])
def test_one_domain_losses(build, batches, join, name, stream):
    trial, batch = build(name=name, lambda_aux=0.3), join(batches(name))
    main, aux = cross_entropy(trial.method.segmenter, getattr(batch, stream))
    key = "segmenter/" + stream.removesuffix("_labelled")
    expect(trial, batch, {key: main, f"{key}_aux": 0.3 * aux})


def test_joint_losses(build, batches, join):
    trial, batch = build(name="joint", lambda_aux=0.3, lambda_target=2.0), join(batches("joint"))
    source = cross_entropy(trial.method.segmenter, batch.source)
    target = cross_entropy(trial.method.segmenter, batch.target_labelled)
    terms = {"source": source[0], "source_aux": 0.3 * source[1]}
    terms |= {"target": 2 * target[0], "target_aux": 2 * 0.3 * target[1]}
    expect(trial, batch, {f"segmenter/{name}": term for name, term in terms.items()})


def test_target_labels_cannot_be_given_to_a_method_that_never_sees_them(build):
    config = build(name="adaptsegnet", channels=4).method.config
    raw = {**config.model_dump(), "target": {"name": "camera", "labelled": {"size": 3}}}
    with pytest.raises(ValidationError, match="never sees target labels"):
        type(config).model_validate(raw)


def test_a_used_network_passes_gradients_to_its_input_alone():
    network = torch.nn.Linear(2, 1)
    inputs = torch.ones(1, 2, requires_grad=True)
    Used(network)(inputs).sum().backward()
    assert torch.equal(inputs.grad, network.weight.detach())
    assert network.weight.grad is None and network.bias.grad is None
