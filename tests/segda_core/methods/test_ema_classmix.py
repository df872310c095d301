"""ema_classmix: q, its losses and gradients written out, who follows whom, what is opened and evaluated."""

from dataclasses import replace

import pytest
import torch
from domains import raw_config

from segda_core.config import PseudoLabelCropConfig, TrialConfig
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.errors import ConfigError, DataError, parse
from segda_core.training.mixing import choose_half, patches_kept, values_present
from segda_core.training.photometric import strong_augmentation

THRESHOLD = 0.0545
"""Between the untrained teacher's lowest and highest confidence."""


@pytest.fixture
def trial(build):
    return build(name="ema_classmix", threshold=THRESHOLD, lambda_aux=0.3)


@pytest.fixture
def batch(batches, join):
    return join(batches("ema_classmix", 3))


def confidence(trial, batch):
    with torch.no_grad():
        logits = trial.method.teacher.train().at_image_size(batch.target.images).main
    return logits.softmax(1).max(1)


def cross_entropy(logits, labels, weights):
    """Weighted sum over labelled pixels divided by the number of all pixels, from probabilities."""
    picked = logits.softmax(1).gather(1, labels.clamp(max=18)[:, None])[:, 0]
    return (-picked.log() * weights * (labels != 255)).sum() / labels.numel()


def mixture(batch, tensors, q, present):
    """Images, labels and weights of the mixture, pixel by pixel from masks of each drawn value."""
    labels, pseudo = batch.source.labels, tensors["pseudo_labels"]
    images, mixed, weights = batch.target.images.clone(), pseudo.clone(), torch.full(labels.shape, q)
    chosen = choose_half(present, tensors["values"])
    for index in range(len(labels)):
        for value in chosen[index].nonzero().flatten().tolist():
            where = labels[index] == (255 if value == 19 else value)
            images[index][:, where] = batch.source.images[index][:, where]
            mixed[index][where] = labels[index][where]
            weights[index][where] = 1.0
    return strong_augmentation(images, tensors["mixed_augmentation"]), mixed, weights


def test_q_is_the_share_of_confident_pixels_of_the_whole_batch(trial, batch, batches):
    highest, labels = confidence(trial, batch)
    prepared = trial.method.prepare(batch, 0)
    q = (prepared.counts["confident"] / prepared.counts["pixels"]).item()
    assert q == pytest.approx((highest >= THRESHOLD).float().mean().item())
    assert 0.05 < q < 0.95
    assert torch.equal(prepared.tensors["pseudo_labels"], labels)
    assert prepared.counts["values"].tolist() == values_present(batch.source.labels).sum(0).tolist()


@pytest.mark.parametrize("values_from", ["batch", "image"])
def test_losses_and_gradients_by_hand(build, batch, values_from):
    trial = build(name="ema_classmix", threshold=THRESHOLD, lambda_aux=0.3, values_from=values_from)
    segmenter = trial.method.segmenter
    q = (confidence(trial, batch)[0] >= THRESHOLD).float().mean().item()
    present = values_present(batch.source.labels)
    if values_from == "batch":
        present = present.any(0, keepdim=True).expand_as(present)
    images, labels, weights = mixture(batch, trial.method.prepare(batch, 0).tensors, q, present)
    assert {1.0, q} == {round(weight, 6) if weight == 1 else q for weight in weights.unique().tolist()}
    source = segmenter.at_image_size(batch.source.images)
    mixed = segmenter.at_image_size(images)
    ones = torch.ones(labels.shape)
    wanted = {
        "segmenter/source": cross_entropy(source.main, batch.source.labels, ones),
        "segmenter/source_aux": 0.3 * cross_entropy(source.aux, batch.source.labels, ones),
        "segmenter/mixed": cross_entropy(mixed.main, labels, weights),
        "segmenter/mixed_aux": 0.3 * cross_entropy(mixed.aux, labels, weights),
    }
    gradients = torch.autograd.grad(sum(wanted.values()), list(segmenter.parameters()))
    losses = trial.backward([batch])
    assert losses == pytest.approx({name: loss.item() for name, loss in wanted.items()}, rel=1e-4)
    for parameter, gradient in zip(segmenter.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_masked_consistency_by_hand(build, batch):
    trial = build(name="ema_classmix", threshold=THRESHOLD, masked={"patch": 8, "lambda_masked": 2.0})
    highest, pseudo = confidence(trial, batch)
    tensors = trial.method.prepare(batch, 0).tensors
    assert tensors["patches"].shape == (3, 4, 8)
    images = strong_augmentation(batch.target.images, tensors["masked_augmentation"])
    kept = patches_kept(tensors["patches"], 0.7, images.shape[2:])
    assert 0.1 < kept.float().mean().item() < 0.5
    segmenter = trial.method.segmenter
    heads = segmenter.logits(segmenter.normalise(images) * kept)
    q = (highest >= THRESHOLD).float().mean().expand(pseudo.shape)
    main, aux = (2.0 * cross_entropy(segmenter.upsample(head, images.shape[2:]), pseudo, q) for head in heads)
    losses = adds(trial, build(name="ema_classmix", threshold=THRESHOLD), batch, main + 0.1 * aux)
    assert losses["segmenter/masked"] == pytest.approx(main.item(), rel=1e-4)
    assert losses["segmenter/masked_aux"] == pytest.approx(0.1 * aux.item(), rel=1e-4)
    assert len(losses) == 6


def adds(trial, plain, batch, term):
    """A trial's losses, whose gradient is that of one without a term, and the term's."""
    plain.backward([replace(batch, target_labelled=None)])
    parameters = dict(trial.method.segmenter.named_parameters())
    own = torch.autograd.grad(term, list(parameters.values()))
    losses = trial.backward([batch])
    for (name, parameter), gradient in zip(parameters.items(), own, strict=True):
        wanted = plain.gradients()[f"segmenter.{name}"] + gradient
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-3, atol=1e-5)
    return losses


def test_pseudo_label_crop_takes_rows_out_of_the_mixture_but_not_out_of_q(build, batch):
    plain = build(name="ema_classmix", threshold=THRESHOLD)
    cropped = build(name="ema_classmix", threshold=THRESHOLD, pseudo_label_crop={"top": 3, "bottom": 0.25})
    weights = []
    for trial in (plain, cropped):
        prepared = trial.method.prepare(batch, 0)
        update = trial.updates[0]
        target = update._pseudo_labelled(batch.target, prepared)
        weights.append(update._mixed(target, target, prepared).weights)
    q = weights[0][0, 0, 0]
    assert (weights[0] == q).all() and q > 0
    assert not weights[1][:, :3].any() and not weights[1][:, -8:].any()
    assert (weights[1][:, 3:-8] == q).all()


def test_margins_are_rows_or_shares():
    assert PseudoLabelCropConfig().rows(512) == (15, 120)
    assert PseudoLabelCropConfig(top=0.03, bottom=0.25).rows(100) == (3, 25)


def test_the_teacher_moves_only_after_the_step_and_has_no_gradient(trial, batch):
    teacher, student = trial.method.teacher, trial.method.segmenter
    first = [parameter.clone() for parameter in teacher.parameters()]
    trial.backward([batch])
    trial.step()
    for parameter, old in zip(teacher.parameters(), first, strict=True):
        assert parameter.grad is None and not parameter.requires_grad and torch.equal(parameter, old)
    with torch.no_grad():
        trial.method.after_step(0)
    for parameter, old, own in zip(teacher.parameters(), first, student.parameters(), strict=True):
        torch.testing.assert_close(parameter, (old + own) / 2)
    last = [parameter.clone() for parameter in teacher.parameters()]
    with torch.no_grad():
        trial.method.after_step(5000)
    for parameter, old, own in zip(teacher.parameters(), last, student.parameters(), strict=True):
        torch.testing.assert_close(parameter, 0.999 * old + 0.001 * own)


def test_nothing_made_by_the_teacher_carries_a_gradient(trial, batch):
    prepared = trial.method.prepare(batch, 0)
    values = [*prepared.counts.values(), *prepared.tensors.values()]
    assert not any(tensor.requires_grad for tensor in values)


def test_draws_follow_seed_step_and_place_alone(trial, batch, batches):
    whole = trial.method.prepare(batch, 4).tensors
    torch.manual_seed(99)
    again = trial.method.prepare(batch, 4).tensors
    last = trial.method.prepare(batches("ema_classmix", 3)[2], 4).tensors
    later = trial.method.prepare(batch, 5).tensors
    for name in ("values", "mixed_augmentation", "masked_augmentation"):
        assert torch.equal(whole[name], again[name])
        assert torch.equal(whole[name][2:], last[name])
        assert not torch.equal(whole[name], later[name])
        assert not torch.equal(whole[name][0], whole[name][1])


def test_masking_leaves_the_other_draws_as_they_were(build, batch):
    plain, masked = build(name="ema_classmix"), build(name="ema_classmix", masked={"patch": 8})
    one, other = (trial.method.prepare(batch, 2).tensors for trial in (plain, masked))
    assert set(other) - set(one) == {"patches"}
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_labelled_target_images_add_a_supervised_term(build, batches, join):
    trial = build(name="ema_classmix", labelled={"size": 4}, threshold=THRESHOLD, lambda_aux=0.3)
    batch = join(batches("ema_classmix", 2, more=("target_labelled",)))
    images, labels = batch.target_labelled.images, batch.target_labelled.labels
    heads = trial.method.segmenter.at_image_size(images)
    main, aux = (cross_entropy(head, labels, torch.ones(labels.shape)) for head in heads)
    plain = build(name="ema_classmix", threshold=THRESHOLD, lambda_aux=0.3)
    losses = adds(trial, plain, batch, main + 0.3 * aux)
    assert losses["segmenter/labelled"] == pytest.approx(main.item(), rel=1e-4)
    assert {"segmenter/mixed", "segmenter/labelled_aux"} <= losses.keys()


def test_images_of_two_sizes_are_refused(trial, batch):
    small = replace(batch, target=replace(batch.target, images=batch.target.images[..., :-1]))
    with pytest.raises(DataError, match=r"source images of 64x32, target of 63x32: set transforms"):
        trial.method.prepare(small, 0)


def test_bf16_is_close_to_fp32(build, batch):
    def run(precision):
        trial = build(norm="group", name="ema_classmix", threshold=0.0)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            prepared = trial.method.prepare(batch, 0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            losses, _ = trial.updates[0](batch, prepared, {}, 0)
        sum(losses.values()).backward()
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        values = {name: loss.item() for name, loss in losses.items()}
        return values, trial.gradients()["segmenter.main_head.weight"], prepared.tensors["pseudo_labels"]

    (exact, gradient, labels), (rounded, close, others) = run("fp32"), run("bf16")
    assert (labels == others).float().mean() > 0.9
    assert rounded == pytest.approx(exact, rel=0.02)
    assert (close - gradient).norm() < 0.1 * gradient.norm()


def test_evaluated_network(build):
    student, teacher = build(name="ema_classmix"), build(name="ema_classmix", network="teacher")
    assert student.method.evaluated is student.method.segmenter
    assert teacher.method.evaluated is teacher.method.teacher


def resolve(root, **changes):
    return parse(TrialConfig, raw_config(root, "ema_classmix", **changes), "test")


def test_only_declared_target_labels_are_opened(tmp_path):
    unlabelled = resolve(tmp_path)
    assert unlabelled.streams == ("source", "target") and not unlabelled.uses_target_labels
    some = resolve(tmp_path, target={"name": "camera", "subset": {"size": 6}, "labelled": {"size": 2}})
    assert some.streams == ("source", "target", "target_labelled") and some.uses_target_labels
    whole = resolve(tmp_path, target={"name": "camera", "subset": {"size": 6}, "labelled": {}})
    assert whole.target.labelled.size == 6


def test_sizes_that_cannot_be_mixed_are_refused_before_training(tmp_path):
    crops = {"source": {"crop": [48, 24]}, "target": {"crop": [32, 24]}}
    with pytest.raises(
        ConfigError, match=r"give sizes \(48, 24\) and \(32, 24\); set transforms.source.crop"
    ):
        resolve(tmp_path, transforms=crops)


def test_a_method_without_teacher_cannot_be_scored_by_it(tmp_path):
    evaluation = {"size": [64, 32], "network": "teacher"}
    with pytest.raises(ConfigError, match=r"evaluation.network is teacher, but method joint has none"):
        parse(TrialConfig, raw_config(tmp_path, "joint", evaluation=evaluation), "test")
    assert resolve(tmp_path, evaluation=evaluation).evaluation.network == "teacher"


def test_target_labels_are_never_read_unless_declared(tmp_path, monkeypatch):
    import domains

    from segda_core.data import decoded

    domains.write_gta5(tmp_path / "game", 4)
    domains.write_cityscapes(tmp_path / "camera", 6, 1)
    read = []
    original = decoded.DecodedImages.label

    def label(images, path, size=None):
        read.append(path)
        return original(images, path, size)

    monkeypatch.setattr(decoded.DecodedImages, "label", label)
    config = resolve(tmp_path)
    for [batch] in build_loader(config, select_images(config)):
        assert batch.target.labels is None and batch.target_labelled is None
        assert batch.indices == (0, 1, 2, 3)
    assert read and all("game" in path.parts for path in read)
    read.clear()
    config = resolve(tmp_path, target={"name": "camera", "labelled": {"size": 2}})
    images = select_images(config)
    assert not {record.name for record in images.target} & {record.name for record in images.labelled}
    assert (len(images.target), len(images.labelled), images.target_count) == (4, 2, 6)
    for [batch] in build_loader(config, images):
        assert batch.target.labels is None and batch.target_labelled.labels is not None
    opened = {path for path in read if "camera" in path.parts}
    assert opened == {record.label for record in images.labelled}
