"""AdaptSegNet's losses against the paper's formulas written out, and whom each gradient reaches."""

import pytest
import torch
from torch.nn.functional import softplus

from segda_core.methods.adaptsegnet import AdaptSegNet
from segda_core.models.base import Logits, Segmenter

HEADS = {"multi": ("main", "aux"), "single": ("main",)}
DISTANCE = {
    "bce": lambda scores, label: (softplus(scores) - label * scores).mean(),
    "lsgan": lambda scores, label: ((scores - label) ** 2).mean(),
}


def probabilities(segmenter, images):
    main, aux = segmenter(images)
    size = {"size": images.shape[2:], "mode": "bilinear", "align_corners": False}
    return {
        name: torch.nn.functional.interpolate(head, **size).softmax(1)
        for name, head in (("main", main), ("aux", aux))
    }


@pytest.fixture
def batch(batches, join):
    return join(batches("adaptsegnet"))


@pytest.fixture(params=[("multi", "bce"), ("single", "bce"), ("single", "lsgan"), ("multi", "lsgan")])
def variant(request):
    return dict(zip(("levels", "gan"), request.param, strict=True))


def run_generator(trial, batch):
    prepared = trial.method.prepare(batch, 0)
    return prepared, *trial.updates[0](batch, prepared, {}, 0)


def test_networks_and_updates_follow_the_levels(build, variant):
    trial = build(name="adaptsegnet", channels=4, **variant)
    own = [f"discriminator_{head}" for head in HEADS[variant["levels"]]]
    assert list(trial.method.networks()) == ["segmenter", *own]
    assert [update.name for update in trial.updates] == ["segmenter", *own]


def test_adversarial_losses_have_the_published_labels_and_weights(build, batch, variant):
    trial = build(name="adaptsegnet", channels=4, **variant)
    distance, networks = DISTANCE[variant["gan"]], trial.method.networks()
    with torch.no_grad():
        source = probabilities(trial.method.segmenter, batch.source.images)
        target = probabilities(trial.method.segmenter, batch.target.images)
    weights = {
        ("multi", "bce"): {"main": 0.001, "aux": 0.0002},
        ("single", "bce"): {"main": 0.001},
        ("single", "lsgan"): {"main": 0.01},
        ("multi", "lsgan"): {"main": 0.01, "aux": 0.002},
    }[(variant["levels"], variant["gan"])]
    losses = trial.backward([batch])
    for head, weight in weights.items():
        discriminator = networks[f"discriminator_{head}"]
        with torch.no_grad():
            seen = discriminator(source[head]), discriminator(target[head])
        own = f"discriminator_{head}"
        assert losses[f"segmenter/adversarial_{head}"] == pytest.approx(weight * distance(seen[1], 0).item())
        assert losses[f"{own}/source"] == pytest.approx(distance(seen[0], 0).item() / 2)
        assert losses[f"{own}/target"] == pytest.approx(distance(seen[1], 1).item() / 2)
    assert (losses["segmenter/source_aux"] > 0) == (variant["levels"] == "multi")
    assert len(losses) == 2 + 3 * len(weights)


def test_the_segmenters_gradient_is_the_sum_of_both_terms_and_reaches_no_discriminator(build, batch, variant):
    trial = build(name="adaptsegnet", channels=4, lambda_adv_main=0.7, lambda_aux=0.3, **variant)
    segmenter, networks = trial.method.segmenter, trial.method.networks()
    _, losses, _ = run_generator(trial, batch)
    sum(losses.values()).backward()
    assert all(
        parameter.grad is None
        for name, network in networks.items()
        if name != "segmenter"
        for parameter in network.parameters()
    )
    weight = {"main": 0.7, "aux": trial.method.config.method.weights[1]}
    target = probabilities(segmenter, batch.target.images)
    scores = {head: networks[f"discriminator_{head}"](target[head]) for head in HEADS[variant["levels"]]}
    wanted = sum(weight[head] * DISTANCE[variant["gan"]](score, 0) for head, score in scores.items())
    logits = segmenter.at_image_size(batch.source.images)
    for head, factor in ((logits.main, 1.0), (logits.aux, 0.3)):
        picked = head.log_softmax(1).gather(1, batch.source.labels.clamp(max=18)[:, None])[:, 0]
        wanted = wanted - factor * picked[batch.source.labels != 255].mean()
    gradients = torch.autograd.grad(wanted, list(segmenter.parameters()))
    for parameter, gradient in zip(segmenter.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_discriminators_learn_from_the_predictions_made_before_the_segmenter_moved(build, batch, variant):
    trial = build(name="adaptsegnet", channels=4, **variant)
    segmenter = trial.method.segmenter
    with torch.no_grad():
        source = probabilities(segmenter, batch.source.images)
        target = probabilities(segmenter, batch.target.images)
    prepared, _, carried = run_generator(trial, batch)
    with torch.no_grad():
        for parameter in segmenter.parameters():
            parameter.zero_()
    assert not any(tensor.requires_grad for tensor in carried.values())
    for update, head in zip(trial.updates[1:], HEADS[variant["levels"]], strict=True):
        losses, carried = update(batch, prepared, carried, 0)
        sum(losses.values()).backward()
        distance, discriminator = DISTANCE[variant["gan"]], update.discriminator
        wanted = distance(discriminator(source[head]), 0) / 2 + distance(discriminator(target[head]), 1) / 2
        gradients = torch.autograd.grad(wanted, list(discriminator.parameters()))
        for parameter, gradient in zip(discriminator.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)
    assert all(parameter.grad is None for parameter in segmenter.parameters())


def test_discriminators_use_adam_with_their_own_rate(build):
    trial = build(name="adaptsegnet", channels=4, discriminator={"lr": 3e-4})
    for update in trial.updates[1:]:
        assert isinstance(update.optimizer, torch.optim.Adam)
        assert update.optimizer.param_groups[0]["betas"] == (0.9, 0.99)
        assert update.optimizer.param_groups[0]["lr"] == 3e-4


class OneHead(Segmenter):
    """A segmenter without an auxiliary head."""

    has_aux = False

    def __init__(self):
        super().__init__((0.0,) * 3, (1.0,) * 3, align_corners=False)
        self.trunk, self.head = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 19, 1)

    def stages(self, inputs):
        return (self.trunk(inputs),)

    def heads(self, stages):
        return Logits(self.head(stages[0]), None)

    def trunk_parameters(self):
        return list(self.trunk.parameters())


def test_single_level_runs_without_auxiliary_head(build, batch):
    trial = build(name="adaptsegnet", channels=4, levels="single")
    method = AdaptSegNet(trial.method.config, OneHead())
    trial.method, trial.updates = method, method.updates()
    assert set(trial.backward([batch])) == {
        "segmenter/source",
        "segmenter/adversarial_main",
        "discriminator_main/source",
        "discriminator_main/target",
    }
    assert all(gradient is not None for gradient in trial.gradients().values())
