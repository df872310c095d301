"""Pseudo labels, plain and rectified, against NumPy, and whom the gradients reach."""

import numpy as np
import pytest
import torch

from segda_core.config import DeepLabV3PlusConfig

OPTIONS = {"name": "pseudo_label", "class_balance": {"small_class_pixels": 100}}


@pytest.fixture
def batch(batches, join):
    batch = join(batches("pseudo_label"))
    batch.target_pseudo.labels[:, 20:, 30:] = 4  # one large class, and one that is absent
    batch.target_pseudo.labels[batch.target_pseudo.labels == 11] = 255
    return batch


def build_with_heads_that_differ(build, **options):
    trial = build("group", **OPTIONS, **options)
    with torch.no_grad():
        trial.method.segmenter.main_head.weight.mul_(30)
        trial.method.segmenter.aux_head.weight.mul_(-20)
    return trial


def logits(segmenter, images):
    main, aux = segmenter(images)
    size = {"size": images.shape[2:], "mode": "bilinear", "align_corners": False}
    return [torch.nn.functional.interpolate(head, **size) for head in (main, aux)]


def class_weights(labels):
    """After the first step, for two images."""
    counts = np.array([(labels.numpy() == c).sum() for c in range(19)])
    return (0.9 + 0.1 * np.where(counts == 0, 7, 1)) * np.where(counts < 200, 7, 1)


def worked_out(trial, domain):
    """(cross-entropy times weight, weight, KL from the other head) of each pixel, for main and aux."""
    labels, weights = domain.labels.numpy(), class_weights(domain.labels)
    heads = [head.detach().double().numpy() for head in logits(trial.method.segmenter, domain.images)]
    p_main, p_aux = (np.exp(head) / np.exp(head).sum(1, keepdims=True) for head in heads)
    valid = labels != 255
    index = np.where(valid, labels, 0)
    weight = np.where(valid, weights[index], 0)
    for own, other in ((p_main, p_aux), (p_aux, p_main)):
        picked = np.take_along_axis(own, index[:, None], 1)[:, 0]
        yield -weight * np.log(picked), weight, (other * np.log(other / own)).sum(1)


def test_plain_labels_are_a_weighted_mean_over_labelled_pixels(build, batch):
    trial = build_with_heads_that_differ(build, rectify=False)
    wanted = [losses.sum() / weight.sum() for losses, weight, _ in worked_out(trial, batch.target_pseudo)]
    losses = trial.backward([batch])
    assert losses == pytest.approx(
        {"segmenter/target": wanted[0], "segmenter/target_aux": 0.5 * wanted[1]}, rel=1e-4
    )


def test_the_plain_gradient_is_that_of_the_weighted_means(build, batch):
    trial = build_with_heads_that_differ(build, rectify=False)
    segmenter, domain = trial.method.segmenter, batch.target_pseudo
    trial.backward([batch])
    weights = torch.tensor(class_weights(domain.labels), dtype=torch.float32)
    each = [
        torch.nn.functional.cross_entropy(head, domain.labels, weights, ignore_index=255)
        for head in logits(segmenter, domain.images)
    ]
    gradients = torch.autograd.grad(each[0] + 0.5 * each[1], list(segmenter.parameters()))
    for parameter, gradient in zip(segmenter.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_rectified_labels_are_means_over_all_pixels_without_division_by_weights(build, batch):
    trial = build_with_heads_that_differ(build)
    wanted = {}
    both = worked_out(trial, batch.target_pseudo)
    for suffix, factor, (losses, _, variance) in zip(("", "_aux"), (1.0, 0.5), both, strict=True):
        assert variance.mean() > 0.1
        wanted[f"segmenter/target{suffix}"] = factor * (np.exp(-variance) * losses).mean()
        wanted[f"segmenter/variance{suffix}"] = factor * variance.mean()
    assert trial.backward([batch]) == pytest.approx(wanted, rel=1e-4)


def test_ignored_pixels_still_add_their_variance(build, batch):
    batch.target_pseudo.labels.fill_(255)
    losses = build_with_heads_that_differ(build).backward([batch])
    assert losses["segmenter/target"] == losses["segmenter/target_aux"] == 0.0
    assert losses["segmenter/variance"] > 0.1
    assert losses["segmenter/variance_aux"] > 0.05


def test_the_rectified_gradient_flows_through_the_variance_to_both_heads(build, batch):
    trial = build_with_heads_that_differ(build)
    segmenter, domain = trial.method.segmenter, batch.target_pseudo
    trial.backward([batch])
    weights = torch.tensor(class_weights(domain.labels), dtype=torch.float32)
    main, aux = logits(segmenter, domain.images)

    def divergence(first, second):
        return torch.nn.functional.kl_div(
            second.log_softmax(1), first.log_softmax(1), log_target=True, reduction="none"
        ).sum(1)

    def cross_entropy(head):
        return torch.nn.functional.cross_entropy(
            head, domain.labels, weights, ignore_index=255, reduction="none"
        )

    def gradients(v_main, v_aux):
        loss = (torch.exp(-v_main) * cross_entropy(main) + v_main).mean()
        loss = loss + 0.5 * (torch.exp(-v_aux) * cross_entropy(aux) + v_aux).mean()
        return torch.autograd.grad(loss, list(segmenter.parameters()), retain_graph=True)

    variances = divergence(aux, main), divergence(main, aux)
    for parameter, gradient in zip(segmenter.parameters(), gradients(*variances), strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)
    fixed = gradients(*(variance.detach() for variance in variances))
    parameters = list(segmenter.parameters())
    assert any((p.grad - g).norm() > 0.1 * g.norm() for p, g in zip(parameters, fixed, strict=True))


def test_heads_that_agree_make_rectified_a_plain_mean(build, batch):
    trial = build("group", **OPTIONS)
    segmenter = trial.method.segmenter
    with torch.no_grad():
        for head in (segmenter.main_head, segmenter.aux_head):
            head.weight.zero_()
            head.bias.copy_(torch.linspace(-1, 1, 19))
    losses = trial.backward([batch])
    assert abs(losses["segmenter/variance"]) < 1e-6
    ((each, _, _), _) = worked_out(trial, batch.target_pseudo)
    assert losses["segmenter/target"] == pytest.approx(each.mean(), rel=1e-4)


def test_no_image_but_the_pseudo_labelled_targets_is_opened(build):
    config = build(**OPTIONS).method.config
    assert config.streams == ("target_pseudo",)
    assert config.source == () and not config.uses_target_labels
    taken = config.method.inputs
    assert taken["labels"].output == "labels" and taken["labels"].required
    assert not taken["init_from"].required


def test_plain_labels_run_on_a_model_with_one_head(build):
    config = build(**OPTIONS, rectify=False).method.config
    model = DeepLabV3PlusConfig(name="deeplabv3plus_resnet101", weights="none")
    raw = {**config.model_dump(), "model": model.model_dump()}
    assert type(config).model_validate(raw, strict=False).model.name == "deeplabv3plus_resnet101"
