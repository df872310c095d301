import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from segda_core.config import PROTOCOLS, Protocol, TinyConfig
from segda_core.data.transforms import resize
from segda_core.errors import ConfigError
from segda_core.inference.predictor import Pass, Predictor, passes
from segda_core.models import build_segmenter
from segda_core.models.base import Logits, Segmenter

SIZE = (64, 32)
LABEL_SIZE = (128, 64)


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    network = build_segmenter(TinyConfig(name="tiny", width=8)).eval()
    with torch.no_grad():
        for head in (network.main_head, network.aux_head):
            head.weight.normal_(0, 1)
    return network


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(0).integers(0, 256, (2, 64, 128, 3), dtype=np.uint8))


class OneHead(Segmenter):
    """A convolution that sees one pixel, so that what it does to an image can be said exactly."""

    has_aux = False

    def __init__(self):
        super().__init__((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), align_corners=True)
        self.classify = nn.Conv2d(3, 19, 1)

    def logits(self, inputs):
        return Logits(self.classify(inputs), None)


def test_the_passes_of_the_published_protocols():
    full = (2048, 1024)
    assert passes(PROTOCOLS["p_asn"], SIZE, full) == [Pass((1024, 512), (0, 0), False)]
    assert passes(PROTOCOLS["p_mr"], SIZE, full) == [
        Pass((1024, 512), (0, 0), False),
        Pass((1024, 512), (0, 0), True),
        Pass((1280, 640), (0, 0), False),
        Pass((1280, 640), (0, 0), True),
    ]
    (only,) = passes(PROTOCOLS["p_seg"], SIZE, full)
    assert (only.size, only.input_size) == (full, (2049, 1025))


def test_the_presets_take_the_profiles_size_and_scale_it():
    assert [run.size for run in passes(PROTOCOLS["single"], SIZE, LABEL_SIZE)] == [SIZE]
    assert [(run.size, run.mirror) for run in passes(PROTOCOLS["multi_scale"], SIZE, LABEL_SIZE)] == [
        ((48, 24), False),
        ((48, 24), True),
        ((64, 32), False),
        ((64, 32), True),
        ((80, 40), False),
        ((80, 40), True),
    ]
    assert [run.size for run in passes(PROTOCOLS["full"], SIZE, LABEL_SIZE)] == [LABEL_SIZE]


def test_an_odd_side_is_not_padded():
    (only,) = passes(PROTOCOLS["p_seg"], SIZE, (101, 50))
    assert only.input_size == (101, 51)


def test_one_pass_upsamples_logits_to_label_size(segmenter, images):
    prediction = Predictor(segmenter, Protocol(at_label_size=True), SIZE).predict(images, LABEL_SIZE)

    with torch.no_grad():
        logits = segmenter(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)).main
    expected = functional.interpolate(logits, size=(64, 128), mode="bilinear", align_corners=False)
    assert prediction.dtype == torch.uint8
    assert torch.equal(prediction.long(), expected.argmax(dim=1))


def test_align_corners_of_the_protocol_overrules_the_models(segmenter, images):
    own = Predictor(segmenter, Protocol(at_label_size=True), SIZE).predict(images, LABEL_SIZE)
    other = Predictor(segmenter, Protocol(at_label_size=True, align_corners=True), SIZE).predict(
        images, LABEL_SIZE
    )
    assert not torch.equal(own, other)


def test_the_mirrored_image_gives_the_mirrored_prediction(segmenter, images):
    predictor = Predictor(segmenter, Protocol(mirror=True), SIZE)
    straight = predictor.predict(images, LABEL_SIZE)
    mirrored = predictor.predict([np.ascontiguousarray(image[:, ::-1]) for image in images], LABEL_SIZE)
    assert (straight == mirrored.flip(-1)).float().mean() > 0.999  # float sums in another order


def test_mirroring_changes_nothing_for_a_network_that_sees_single_pixels(images):
    torch.manual_seed(1)
    network = OneHead().eval()
    single = Predictor(network, Protocol(at_label_size=True), SIZE).predict(images, LABEL_SIZE)
    mirror = Predictor(network, Protocol(at_label_size=True, mirror=True), SIZE).predict(images, LABEL_SIZE)
    assert torch.equal(single, mirror)
    assert len(single.unique()) > 1


def test_padding_is_zero_after_normalisation_and_cut_away(images):
    torch.manual_seed(1)
    network = OneHead().eval()
    plain = Predictor(network, Protocol(at_label_size=True), SIZE).predict(images, LABEL_SIZE)
    padded = Predictor(network, PROTOCOLS["p_seg"], SIZE).predict(images, LABEL_SIZE)
    assert torch.equal(plain, padded)


def test_fusion_and_sum_as_published(segmenter, images):
    protocol = Protocol(at_label_size=True, mirror=True, fusion="main_and_aux")
    prediction = Predictor(segmenter, protocol, SIZE).predict(images, LABEL_SIZE)

    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    total = torch.zeros(2, 19, 64, 128)
    with torch.no_grad():
        for flip in (False, True):
            main, aux = segmenter(batch.flip(-1) if flip else batch)
            probabilities = (main + 0.5 * aux).softmax(dim=1)
            full = functional.interpolate(probabilities, size=(64, 128), mode="bilinear")
            total += full.flip(-1) if flip else full
    assert torch.equal(prediction.long(), total.argmax(dim=1))


def at_once(predictor, images, label_size):
    """The highest sum of all scores at label size, pass by pass."""
    total = 0
    runs = passes(predictor.protocol, predictor.size, label_size)
    for run in runs:
        resized = np.stack([resize(image, run.size) for image in images])
        batch = predictor.segmenter.normalise(torch.from_numpy(resized).permute(0, 3, 1, 2))
        batch = functional.pad(
            batch.flip(-1) if run.mirror else batch, (0, run.padding[0], 0, run.padding[1])
        )
        logits = predictor.segmenter.logits(batch)
        fused = predictor.protocol.fusion == "main_and_aux"
        scores = logits.fused if fused else logits.main
        scores = scores.softmax(dim=1) if fused or len(runs) > 1 else scores
        size = (label_size[1] + run.padding[1], label_size[0] + run.padding[0])
        full = functional.interpolate(
            scores.contiguous(), size=size, mode="bilinear", align_corners=predictor.align_corners
        )[..., : label_size[1], : label_size[0]]
        total = total + (full.flip(-1) if run.mirror else full)
    return total.argmax(dim=1)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_preset_predicts_what_all_scores_at_once_would(segmenter, images, name):
    label_size = (512, 256)
    predictor = Predictor(segmenter, PROTOCOLS[name], SIZE)
    prediction = predictor.predict(images, label_size)
    with torch.no_grad():
        expected = at_once(predictor, images, label_size)
    assert torch.equal(prediction.long(), expected)
    assert len(prediction.unique()) > 3


def test_confidence_is_the_highest_mean_probability(segmenter, images):
    confidence, classes = Predictor(segmenter, Protocol(mirror=True), SIZE).confidence(images, LABEL_SIZE)
    batch = torch.from_numpy(np.stack([resize(image, SIZE) for image in images])).permute(0, 3, 1, 2)
    with torch.no_grad():
        straight, mirrored = (
            functional.interpolate(segmenter(each).main.softmax(dim=1), size=(64, 128), mode="bilinear")
            for each in (batch, batch.flip(-1))
        )
    mean = (straight + mirrored.flip(-1)) / 2
    torch.testing.assert_close(confidence, mean.amax(dim=1))
    assert torch.equal(classes.long(), mean.argmax(dim=1))


def test_fusion_without_an_auxiliary_head_is_refused():
    with pytest.raises(ConfigError, match="auxiliary head"):
        Predictor(OneHead(), Protocol(fusion="main_and_aux"), SIZE)
