"""Contract of every segmenter in MODELS, without pretrained weights."""

import pytest
import torch
from pydantic import TypeAdapter

from segda_core.classes import NUM_CLASSES
from segda_core.config import ModelConfig
from segda_core.models import MODELS, build_segmenter
from segda_core.models.statistics import statistics_unmoved

ODD = (47, 65)


def untrained(name):
    config = TypeAdapter(ModelConfig).validate_python({"name": name})
    has_weights = "weights" in type(config).model_fields
    return config.model_copy(update={"weights": "none"}) if has_weights else config


def configured(segmenter):
    return untrained(next(name for name in MODELS if isinstance(segmenter, MODELS[name])))


@pytest.fixture(scope="module", params=MODELS)
def made(request):
    """Channels-last, as the images become: no pass then has to rearrange the weights."""
    torch.manual_seed(0)
    return build_segmenter(untrained(request.param)).to(memory_format=torch.channels_last)


@pytest.fixture
def segmenter(made):
    """It has the running statistics it was made with, whatever test trained it before."""
    before = {name: values.clone() for name, values in made.named_buffers()}
    yield made
    for name, values in made.named_buffers():
        values.copy_(before[name])


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (2, 3, *ODD), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def expected(made, images):
    """Logits in evaluation."""
    with torch.no_grad():
        return made.eval()(images)


def test_logits_of_odd_sizes_are_float_and_of_one_shape_for_both_heads(segmenter, images):
    logits = segmenter.eval()(images)
    assert logits.main.shape[:2] == (2, NUM_CLASSES)
    assert logits.main.shape[2] >= ODD[0] / 8 and logits.main.shape[3] >= ODD[1] / 8
    assert segmenter.has_aux == (logits.aux is not None) == configured(segmenter).has_aux
    assert logits.aux is None or logits.aux.shape == logits.main.shape
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(head is None or head.dtype == torch.float32 for head in segmenter(images))
    for head in segmenter.at_image_size(images):
        assert head is None or head.shape == (2, NUM_CLASSES, *ODD)


def test_features_come_with_the_logits_of_the_same_pass(segmenter, images, expected):
    with torch.no_grad():
        logits, features = segmenter.eval().with_features(images)
        deepest = segmenter.stages(segmenter.normalise(images))[-1]
    assert all(head is None or torch.equal(head, same) for head, same in zip(logits, expected, strict=True))
    assert features.shape[:2] == (2, segmenter.feature_channels)
    assert torch.equal(features, deepest)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert segmenter.with_features(images)[1].dtype == torch.float32


def test_the_main_head_reads_the_features(segmenter, images):
    stages = segmenter.train().stages(segmenter.normalise(images))
    (gradient,) = torch.autograd.grad(segmenter.heads(stages).main.sum(), stages[-1])
    assert gradient.abs().sum() > 0


def test_image_type_and_memory_format_do_not_matter(segmenter, images, expected):
    segmenter.eval()
    with torch.no_grad():
        for same in (images.float(), images.to(memory_format=torch.channels_last)):
            for head, wanted in zip(segmenter(same), expected, strict=True):
                torch.testing.assert_close(head, wanted)


def test_evaluation_sees_each_image_alone(segmenter, images, expected):
    both = expected.main
    with torch.no_grad():
        alone = segmenter.eval()(images[1:]).main
    assert (both[1:] - alone).abs().max() < 1e-4 * both.abs().max()


def test_training_reaches_every_trained_parameter_once(segmenter, images):
    trained = [parameter for parameter in segmenter.parameters() if parameter.requires_grad]
    parts = segmenter.trunk_parameters() + segmenter.head_parameters()
    assert segmenter.trunk_parameters() and segmenter.head_parameters()
    assert sorted(map(id, parts)) == sorted(map(id, trained))
    segmenter.train().zero_grad()
    sum((head**2).mean() for head in segmenter(images) if head is not None).backward()
    for name, parameter in segmenter.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


def test_a_training_pass_can_leave_running_statistics_alone(segmenter, images):
    before = {name: values.clone() for name, values in segmenter.named_buffers()}
    with torch.no_grad(), statistics_unmoved(segmenter.train()):
        segmenter(images)
    assert all(torch.equal(values, before[name]) for name, values in segmenter.named_buffers())


def test_a_batch_of_one_image_can_be_trained_on(segmenter, images):
    assert segmenter.train()(images[:1]).main.isfinite().all()


def test_state_dict_carries_weights_and_normalisation(segmenter, images, expected):
    with torch.device("meta"):
        other = build_segmenter(configured(segmenter))
    other = other.to_empty(device="cpu").to(memory_format=torch.channels_last)
    with torch.no_grad():
        for values in (*other.parameters(), *other.buffers()):
            values.zero_()
        other.load_state_dict(segmenter.state_dict())
        torch.testing.assert_close(other.eval()(images).main, expected.main)


def test_normalisation_is_per_channel_on_the_byte_scale(segmenter):
    image = torch.tensor([255, 0, 128], dtype=torch.uint8).view(1, 3, 1, 1)
    mean, std = segmenter.mean.flatten().tolist(), segmenter.std.flatten().tolist()
    wanted = [(value - m) / s for value, m, s in zip((255, 0, 128), mean, std, strict=True)]
    assert segmenter.normalise(image).flatten().tolist() == pytest.approx(wanted, rel=1e-6)
