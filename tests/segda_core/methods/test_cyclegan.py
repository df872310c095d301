"""CycleGAN: networks, every loss and gradient, whom they reach, the replay pool and the schedule."""

import numpy as np
import pytest
import torch
from torch import nn

from segda_core.config import CycleGanConfig
from segda_core.methods.cyclegan import CycleGan
from segda_core.models.cyclegan import PatchDiscriminator, ResnetGenerator, from_unit, to_unit
from segda_core.training.optim import linear_decay
from segda_core.training.replay_pool import Draw, ReplayPool

OPTIONS = {"name": "cyclegan", "channels": 4, "blocks": 1, "discriminator_channels": 4, "pool": 2}


@pytest.fixture
def trial(build):
    return build(**OPTIONS, lambda_cycle=7.0, lambda_identity=0.3)


@pytest.fixture
def batch(batches, join):
    return join(batches("cyclegan"))


def test_published_networks_have_their_parameters():
    config = CycleGanConfig(name="cyclegan")
    with torch.device("meta"):
        generator = ResnetGenerator(config.channels, config.blocks)
        discriminator = PatchDiscriminator(config.discriminator_channels)
        scores = discriminator(torch.zeros(1, 3, 256, 256))
    assert sum(parameter.numel() for parameter in generator.parameters()) == 11_378_179
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 2_764_737
    assert scores.shape == (1, 1, 30, 30)
    assert (config.lambda_cycle, config.lambda_identity, config.pool) == (10, 0.5, 50)
    assert (config.lr, config.betas) == (2e-4, (0.5, 0.999))


def test_a_generator_keeps_any_size_and_starts_as_published():
    torch.manual_seed(0)
    generator = ResnetGenerator(16, 2)
    made = generator(torch.rand(1, 3, 37, 26) * 2 - 1)
    assert made.shape == (1, 3, 37, 26) and made.abs().max() <= 1
    weights = [p for name, p in generator.named_parameters() if name.endswith("weight")]
    assert torch.cat([weight.flatten() for weight in weights]).std().item() == pytest.approx(0.02, rel=0.02)
    assert not any(p.any() for name, p in generator.named_parameters() if name.endswith("bias"))


def test_images_go_from_bytes_to_units_and_back():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert to_unit(pixels).min() == -1 and to_unit(pixels).max() == 1
    assert torch.equal(from_unit(to_unit(pixels)), pixels)


def worked_out(trial, batch):
    """Every loss of the generators by name, written out."""
    networks = trial.method.networks()
    s, t = (domain.images.float() / 127.5 - 1 for domain in (batch.source, batch.target))
    into_target, into_source = networks["generator_target"], networks["generator_source"]
    fake_t, fake_s = into_target(s), into_source(t)
    return {
        "adversarial_target": ((networks["discriminator_target"](fake_t) - 1) ** 2).mean(),
        "adversarial_source": ((networks["discriminator_source"](fake_s) - 1) ** 2).mean(),
        "cycle_source": 7 * (into_source(fake_t) - s).abs().mean(),
        "cycle_target": 7 * (into_target(fake_s) - t).abs().mean(),
        "identity_target": 7 * 0.3 * (into_target(t) - t).abs().mean(),
        "identity_source": 7 * 0.3 * (into_source(s) - s).abs().mean(),
    }


def test_the_generators_losses_and_gradients_are_the_papers_and_reach_no_discriminator(trial, batch):
    (prepared,) = trial.prepare([batch])
    losses, _ = trial.updates[0](batch, prepared, {}, 0)
    wanted = worked_out(trial, batch)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in wanted.items()}, rel=1e-5
    )
    parameters = list(trial.updates[0].parameters())
    gradients = torch.autograd.grad(sum(wanted.values()), parameters)
    sum(losses.values()).backward()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)
    others = [net for name, net in trial.method.networks().items() if name.startswith("discriminator")]
    assert len(others) == 2 and all(p.grad is None for net in others for p in net.parameters())


def test_without_identity_loss_nothing_is_computed_for_it(build, batch):
    losses = build(**OPTIONS, lambda_identity=0.0).backward([batch])
    assert not any("identity" in name for name in losses) and len(losses) == 4 + 4


@pytest.mark.parametrize("domain", ["source", "target"])
def test_discriminators_tell_real_from_what_was_made_before_the_generators_moved(trial, batch, domain):
    networks = trial.method.networks()
    other = {"source": "target", "target": "source"}[domain]
    generator, discriminator = networks[f"generator_{domain}"], networks[f"discriminator_{domain}"]
    real, original = (to_unit(getattr(batch, name).images) for name in (domain, other))
    with torch.no_grad():
        made = generator(original)
        (prepared,) = trial.prepare([batch])
        for parameter in generator.parameters():
            parameter.zero_()
    (update,) = [each for each in trial.updates if each.name == f"discriminator_{domain}"]
    losses, _ = update(batch, prepared, {}, 0)
    wanted = {
        "real": ((discriminator(real) - 1) ** 2).mean() / 2,
        "fake": (discriminator(made) ** 2).mean() / 2,
    }
    for name, loss in wanted.items():
        assert losses[name].item() == pytest.approx(loss.item(), rel=1e-5)
    gradients = torch.autograd.grad(sum(wanted.values()), list(discriminator.parameters()))
    sum(losses.values()).backward()
    for parameter, gradient in zip(discriminator.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)
    assert all(parameter.grad is None for parameter in generator.parameters())


def picture(value):
    return torch.full((3, 1, 2), float(value))


def test_the_pool_shows_each_image_until_it_is_full_and_then_swaps_some():
    pool = ReplayPool(size=3, batch_size=2, image_size=(2, 1))

    def show(values, earlier, *draws):
        pool.show(torch.stack([picture(value) for value in values]), earlier, draws)
        return [image[0, 0, 0].item() for image in pool.shown]

    never = Draw(False, 0)
    assert show([1, 2], 0, Draw(True, 0), Draw(True, 1)) == [1, 2]
    assert show([3, 4], 2, Draw(True, 0), never) == [3, 4]
    assert pool.images[:, 0, 0, 0].tolist() == [1, 2, 3]  # 4 is shown and forgotten
    assert show([5, 6], 4, Draw(True, 1), never) == [2, 6]
    assert pool.images[:, 0, 0, 0].tolist() == [1, 5, 3]
    assert show([7, 8], 6, Draw(True, 1), Draw(True, 1)) == [5, 7]  # one after the other
    assert pool.images[:, 0, 0, 0].tolist() == [1, 8, 3]
    assert list(pool.state_dict()) == ["images"]


def test_discriminators_see_old_images_again_half_of_the_time(build, batch):
    trial = build(**OPTIONS)
    draws = [trial.method._draws(step, place) for step in range(200) for place in range(2)]
    for number in range(2):
        assert np.mean([draw[number].again for draw in draws]) == pytest.approx(0.5, abs=0.08)
        assert {draw[number].slot for draw in draws} == {0, 1}
    assert [draw[0] for draw in draws] != [draw[1] for draw in draws]
    seen = 0
    for step in range(4):  # with generators that change, an old image is another one
        (prepared,) = trial.prepare([batch], step)
        shown = trial.method.networks()["pool_target"].shown
        seen += sum(
            not torch.equal(*pair) for pair in zip(shown, prepared.counts["made_target"], strict=True)
        )
        with torch.no_grad():
            for parameter in trial.method.generators["target"].parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
    again = sum(
        trial.method._draws(step, place)[list(trial.method.pools).index("target")].again
        for step in range(1, 4)
        for place in range(2)
    )
    assert 0 < seen == again


def test_each_image_is_of_the_size_it_is_made_from(build):
    config = build(**OPTIONS).method.config
    transforms = config.transforms.model_copy(
        update={"source": config.transforms.source.model_copy(update={"crop": (40, 24)})}
    )
    method = CycleGan(config.model_copy(update={"transforms": transforms}))
    assert method.pools["target"].images.shape == (2, 3, 24, 40)
    assert method.pools["source"].images.shape == (2, 3, 32, 64)


def test_the_rate_is_constant_and_then_falls_to_nothing():
    factors = {
        None: {0: 1, 99: 1, 100: 1, 150: 0.5, 199: 0.01, 200: 0},
        40: {0: 1, 40: 1, 80: 0.75, 120: 0.5, 200: 0},
        200: {0: 1, 199: 1},
    }
    for start, wanted in factors.items():
        schedule = linear_decay(torch.optim.Adam(nn.Linear(1, 1).parameters(), lr=1.0), start, 200)
        assert {step: schedule.lr_lambdas[0](step) for step in wanted} == pytest.approx(wanted)
