"""MRNet's losses against its formulas in NumPy or written out otherwise, and whom each gradient reaches."""

import numpy as np
import pytest
import torch

from segda_core.config import DeepLabV2MRNetConfig, Lite0Config, ScheduleConfig, SgdConfig
from segda_core.methods.mrnet import MRNet
from segda_core.models import build_segmenter

HEADS = ("main", "aux")
OPTIONS = {"name": "mrnet", "channels": 4, "mr_start": 0, "class_balance": {"small_class_pixels": 100}}


def logits(segmenter, images):
    main, aux = segmenter(images)
    size = {"size": images.shape[2:], "mode": "bilinear", "align_corners": False}
    interpolate = torch.nn.functional.interpolate
    return {"main": interpolate(main, **size), "aux": interpolate(aux, **size)}


def fused(heads):
    return (heads["main"] + heads["aux"] / 2).softmax(1)


@pytest.fixture
def batch(batches, join):
    return join(batches("mrnet"))


@pytest.fixture
def trial(build):
    """Larger adversarial weights than published, and scores that differ between images."""
    trial = build(**OPTIONS, lambda_adv_main=0.7, lambda_adv_aux=0.3, lambda_mr=0.5, lambda_entropy=0.2)
    for update in trial.updates[1:]:
        for parameter in update.discriminator.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return trial


def run_generator(trial, batch, step=0):
    (prepared,) = trial.prepare([batch], step)
    return prepared, *trial.updates[0](batch, prepared, {}, step)


def weighted_mean_of_the_hardest(scores, labels, weights, percentile=80):
    """Cross-entropy of one head in NumPy."""
    exponential = np.exp(scores.detach().double().numpy())
    log_probabilities = np.log(exponential / exponential.sum(1, keepdims=True))
    labels = labels.numpy()
    valid = labels != 255
    picked = np.take_along_axis(log_probabilities, np.where(valid, labels, 0)[:, None], 1)[:, 0]
    each = np.where(valid, weights[np.where(valid, labels, 0)], 0)
    losses = -each * picked
    kept = losses >= np.percentile(losses, percentile)
    return losses[kept].sum() / max(each[kept].sum(), 1)


def class_weights(labels, images, steps=1):
    counts = np.array([(labels.numpy() == c).sum() for c in range(19)])
    rarity = np.ones(19)
    for _ in range(steps):
        rarity = 0.9 * rarity + 0.1 * np.where(counts == 0, 7, 1)
    return rarity * np.where(counts < 100 * images, 7, 1)


def test_networks_and_updates(trial):
    own = ["discriminator_main", "discriminator_aux"]
    assert list(trial.method.networks()) == ["segmenter", *own, "class_balance"]
    assert [update.name for update in trial.updates] == ["segmenter", *own]


def test_published_constants_are_the_defaults(build):
    options = build(name="mrnet", channels=4).method.config.method
    assert (options.lambda_aux, options.lambda_adv_aux, options.lambda_adv_main) == (0.5, 0.0002, 0.001)
    assert (options.lambda_mr, options.mr_start, options.lambda_entropy) == (0.1, 15_000, 0.0)
    assert (options.hard_percentile, options.lambda_penalty) == (80, 0.01)
    assert build(name="mrnet").method.config.method.channels == 32


def test_cross_entropy_weighs_classes_and_keeps_the_hardest_pixels(trial, batch):
    batch.source.labels[:, 20:, 30:] = 4  # one large class; the others have some 70 pixels an image
    batch.source.labels[batch.source.labels == 11] = 255
    heads = logits(trial.method.segmenter, batch.source.images)
    for steps in (1, 2):
        weights = class_weights(batch.source.labels, images=2, steps=steps)
        assert weights[4] == 1 and 7 < weights[11] < 49
        _, losses, _ = run_generator(trial, batch)
        wanted = {
            head: weighted_mean_of_the_hardest(heads[head], batch.source.labels, weights) for head in HEADS
        }
        assert losses["source"].item() == pytest.approx(wanted["main"], rel=1e-4)
        assert losses["source_aux"].item() == pytest.approx(0.5 * wanted["aux"], rel=1e-4)


def test_the_percentile_is_each_micro_batchs_own(build, batches):
    parts = batches("mrnet", 3)
    trial, alone = build("group", **OPTIONS), build("group", **OPTIONS)
    losses = trial.backward(parts)
    weights = class_weights(torch.cat([part.source.labels for part in parts]), images=2)
    means = [
        weighted_mean_of_the_hardest(
            logits(alone.method.segmenter, part.source.images)["main"], part.source.labels, weights
        )
        for part in parts
    ]
    assert losses["segmenter/source"] == pytest.approx(np.mean(means), rel=1e-4)


def test_without_mining_the_mean_is_over_the_global_batch(build, batches, join):
    parts = batches("mrnet", 3)
    trial = build("group", **OPTIONS, hard_percentile=0)
    losses = trial.backward(parts)
    whole = join(parts)
    weights = class_weights(whole.source.labels, images=2)
    heads = logits(trial.method.segmenter, whole.source.images)
    wanted = weighted_mean_of_the_hardest(heads["main"], whole.source.labels, weights, percentile=0)
    assert losses["segmenter/source"] == pytest.approx(wanted, rel=1e-4)


def test_easy_and_ignored_pixels_get_no_gradient(trial, batch):
    seen = []
    trial.method.segmenter.main_head.register_full_backward_hook(
        lambda module, inputs, outputs: seen.append(outputs[0])
    )
    batch.source.labels.fill_(255)
    _, losses, _ = run_generator(trial, batch)
    assert losses["source"].item() == losses["source_aux"].item() == 0.0
    (losses["source"] + losses["source_aux"]).backward()
    assert not any(gradient.any() for gradient in seen)


def test_memory_regularisation_is_the_divergence_from_the_fused_prediction(trial, batch):
    heads = logits(trial.method.segmenter, batch.target.images)
    _, losses, _ = run_generator(trial, batch)
    p = {head: heads[head].detach().double().softmax(1).numpy() for head in HEADS}
    m = fused({head: value.detach().double() for head, value in heads.items()}).numpy()
    wanted = sum((m * np.log(m / q)).sum(1).mean() for q in p.values())
    assert losses["memory"].item() == pytest.approx(0.5 * wanted, rel=1e-3)
    entropy = -((m**2).sum(1) * (m * np.log(m)).sum(1)).mean()
    assert losses["entropy"].item() == pytest.approx(0.2 * entropy, rel=1e-4)


def test_memory_regularisations_gradient_sees_the_fused_prediction_as_fixed(trial, batch):
    segmenter = trial.method.segmenter
    _, losses, _ = run_generator(trial, batch)
    parameters = list(segmenter.parameters())
    got = torch.autograd.grad(losses["memory"], parameters, retain_graph=True)
    heads = logits(segmenter, batch.target.images)

    def gradients(m):
        """Of the cross-entropies with m, which differ from the divergences by m's entropy alone."""
        wanted = -0.5 * sum((m * heads[head].log_softmax(1)).sum(1).mean() for head in HEADS)
        return torch.autograd.grad(wanted, parameters, retain_graph=True)

    fixed, moving = gradients(fused(heads).detach()), gradients(fused(heads))
    for gradient, expected in zip(got, fixed, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)
    distances = [(one - other).norm() for one, other in zip(fixed, moving, strict=True)]
    assert max(distances) > 10 * max((one - other).norm() for one, other in zip(got, fixed, strict=True))


@pytest.mark.parametrize(("step", "acts"), [(0, False), (14_999, False), (15_000, True)])
def test_regularisation_begins_late(build, batch, step, acts):
    trial = build(name="mrnet", channels=4, lambda_entropy=0.1)
    _, losses, _ = run_generator(trial, batch, step)
    assert (losses["memory"].item() > 0) == (losses["entropy"].item() > 0) == acts


def test_labels_of_the_discriminators_real_source_is_one_and_fake_target_is_zero(trial, batch):
    networks = trial.method.networks()
    with torch.no_grad():
        source = fused(logits(trial.method.segmenter, batch.source.images))
        target = logits(trial.method.segmenter, batch.target.images)
    losses = trial.backward([batch])
    for head, weight in (("main", 0.7), ("aux", 0.3)):
        own = f"discriminator_{head}"
        with torch.no_grad():
            real = networks[own](source)
            fake = networks[own](target[head].softmax(1))
        assert len(real) == len(fake) == 3
        as_source = sum(2 * ((score - 1) ** 2).mean().item() for score in fake)
        assert losses[f"segmenter/adversarial_{head}"] == pytest.approx(weight * as_source, rel=1e-4)
        wanted = sum(((score - 1) ** 2).mean().item() for score in real)
        assert losses[f"{own}/real"] == pytest.approx(wanted, rel=1e-4)
        assert losses[f"{own}/fake"] == pytest.approx(sum((s**2).mean().item() for s in fake), rel=1e-4)


def test_generator_gradients_are_the_sum_of_all_terms_and_reach_no_discriminator(trial, batch):
    segmenter, networks = trial.method.segmenter, trial.method.networks()
    _, losses, _ = run_generator(trial, batch)
    sum(losses.values()).backward()
    others = [network for name, network in networks.items() if name != "segmenter"]
    assert all(parameter.grad is None for network in others for parameter in network.parameters())

    weights = torch.tensor(class_weights(batch.source.labels, images=2), dtype=torch.float32)
    source, target = (logits(segmenter, domain.images) for domain in (batch.source, batch.target))
    wanted = losses["memory"].new_zeros(())
    for head, factor in (("main", 1.0), ("aux", 0.5)):
        each = torch.nn.functional.cross_entropy(
            source[head], batch.source.labels, weights, ignore_index=255, reduction="none"
        )
        hard = batch.source.labels.masked_fill(each < np.percentile(each.detach().numpy(), 80), 255)
        wanted = wanted + factor * torch.nn.functional.cross_entropy(
            source[head], hard, weights, ignore_index=255
        )
    m = fused(target)
    for head, weight in (("main", 0.7), ("aux", 0.3)):
        scores = networks[f"discriminator_{head}"](target[head].softmax(1))
        wanted = wanted + weight * sum(2 * ((score - 1) ** 2).mean() for score in scores)
        wanted = wanted - 0.5 * (m.detach() * target[head].log_softmax(1)).sum(1).mean()
    wanted = wanted - 0.2 * ((m.detach() ** 2).sum(1) * (m * m.log()).sum(1)).mean()
    gradients = torch.autograd.grad(wanted, list(segmenter.parameters()))
    for parameter, gradient in zip(segmenter.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_discriminators_learn_from_detached_predictions_made_before_the_segmenter_moved(trial, batch):
    segmenter = trial.method.segmenter
    with torch.no_grad():
        real = fused(logits(segmenter, batch.source.images))
        target = logits(segmenter, batch.target.images)
    prepared, _, carried = run_generator(trial, batch)
    with torch.no_grad():
        for parameter in segmenter.parameters():
            parameter.zero_()
    assert list(carried) == ["real", "fake_main", "fake_aux"]
    assert not any(tensor.requires_grad for tensor in carried.values())
    for update, head in zip(trial.updates[1:], HEADS, strict=True):
        losses, carried = update(batch, prepared, carried, 0)
        sum(losses.values()).backward()
        discriminator = update.discriminator
        wanted = sum((score**2).mean() for score in discriminator(target[head].softmax(1)))
        wanted = wanted + sum(((score - 1) ** 2).mean() for score in discriminator(real))
        penalty = squared_gradients(discriminator, real)
        assert losses["penalty"].item() == pytest.approx(0.01 * penalty.item(), rel=1e-4)
        gradients = torch.autograd.grad(wanted + 0.01 * penalty, list(discriminator.parameters()))
        for parameter, gradient in zip(discriminator.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)
    assert all(parameter.grad is None for parameter in segmenter.parameters())


def squared_gradients(discriminator, real):
    """Mean over images, sum over sizes, of the squared norm: one image and size after the other."""
    total = 0.0
    for image in real:
        image = image[None].clone().requires_grad_()
        for size in range(3):
            score = discriminator(image)[size].sum()
            (gradient,) = torch.autograd.grad(score, image, create_graph=True)
            total = total + (gradient**2).sum() / len(real)
    return total


def test_schedules_at_named_steps(trial):
    """The segmenter warms up for 5000 steps; the discriminators do not."""
    config = trial.method.config.model_copy(
        update={
            "optimizer": SgdConfig(name="sgd", lr=2e-4, nesterov=True),
            "schedule": ScheduleConfig(length=100_000, warmup_steps=5000),
        }
    )
    updates = MRNet(config, trial.method.segmenter).updates()
    segmenter, *discriminators = (update.schedule for update in updates)
    wanted = {0: (0.1, 1.0), 2500: (0.55, 0.977472), 5000: (0.954886,) * 2, 25_000: (0.771890,) * 2}
    for step, factors in wanted.items():
        assert segmenter.lr_lambdas[0](step) == pytest.approx(factors[0], abs=1e-6)
        for schedule in discriminators:
            assert schedule.lr_lambdas[0](step) == pytest.approx(factors[1], abs=1e-6)
    trunk, heads = updates[0].optimizer.param_groups
    assert trunk["nesterov"] and (trunk["lr"], heads["lr"]) == pytest.approx((2e-5, 2e-4))
    for update in updates[1:]:
        (group,) = update.optimizer.param_groups
        assert isinstance(update.optimizer, torch.optim.Adam)
        assert (group["lr"], group["betas"]) == (1e-4, (0.9, 0.99))


def test_class_weights_remember_the_steps_and_are_saved(trial, batch):
    batch.source.labels[batch.source.labels == 11] = 255
    for _ in range(2):
        trial.backward([batch])
    rarity = trial.method.networks()["class_balance"].state_dict()["rarity"]
    assert rarity[11].item() == pytest.approx(0.9 * 1.6 + 0.7)


def test_half_precision_of_the_double_backward(build, batch):
    gradients = {}
    for bf16 in (False, True):
        trial = build("group", **OPTIONS, lambda_penalty=1e4)
        torch.manual_seed(0)
        for parameter in trial.updates[1].discriminator.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        losses = trial.backward([batch], bf16=bf16)
        assert losses["discriminator_main/penalty"] > losses["discriminator_main/real"]
        parameters = trial.updates[1].discriminator.parameters()
        gradients[bf16] = torch.cat([parameter.grad.flatten() for parameter in parameters])
    assert 0 < (gradients[True] - gradients[False]).norm() < 0.1 * gradients[False].norm()


@pytest.mark.parametrize(
    "model",
    [
        Lite0Config(name="lite0", weights="none"),
        pytest.param(
            DeepLabV2MRNetConfig(name="deeplabv2_mrnet_resnet101", weights="none"), marks=pytest.mark.slow
        ),
    ],
    ids=lambda model: model.name,
)
def test_it_trains_any_model_with_two_heads(trial, batch, model):
    config = trial.method.config.model_copy(update={"model": model})
    segmenter = build_segmenter(model).to(memory_format=torch.channels_last)  # as images come: much faster
    method = MRNet(config, segmenter)
    losses = type(trial)(method, method.updates()).backward([batch])
    assert losses["segmenter/memory"] > 0 and all(np.isfinite(loss) for loss in losses.values())
    trained = [parameter for parameter in method.segmenter.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in trained)
