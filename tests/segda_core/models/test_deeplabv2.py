"""DeepLabV2-ResNet101 against the parameter counts and sizes of the published network."""

import pytest
import torch
from torch import nn

from segda_core.config import DeepLabV2Config
from segda_core.models.deeplabv2 import DeepLabV2, DilatedHead


def build(**options):
    return DeepLabV2(DeepLabV2Config(name="deeplabv2_resnet101", weights="none", **options))


@pytest.fixture(scope="module")
def meta():
    with torch.device("meta"):
        return build()


def count(parameters):
    return sum(parameter.numel() for parameter in parameters)


def test_parameter_counts_are_the_published_ones(meta):
    convolutions = [m for m in meta.trunk.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in meta.trunk.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(convolutions) == 104
    assert count(p for m in convolutions for p in m.parameters()) == 42_394_816
    assert count(p for m in norms for p in m.parameters()) == 105_344
    assert count(meta.aux_head.parameters()) == 700_492
    assert count(meta.main_head.parameters()) == 1_400_908
    assert count(meta.parameters()) == 42_394_816 + 105_344 + 700_492 + 1_400_908


@pytest.mark.parametrize(("image", "logits"), [((512, 1024), (65, 129)), ((720, 1280), (91, 161))])
def test_output_stride_is_eight_with_the_rounded_up_pool(meta, image, logits):
    outputs = meta(torch.empty(1, 3, *image, dtype=torch.uint8, device="meta"))
    assert outputs.main.shape == outputs.aux.shape == (1, 19, *logits)


@pytest.mark.parametrize(("stride_on", "strides"), [("3x3", (1, 2)), ("1x1", (2, 1))])
def test_stride_sits_where_the_weights_want_it(stride_on, strides):
    with torch.device("meta"):
        first = build(stride_on=stride_on).trunk.layer2[0]
    assert (first.conv1.stride[0], first.conv2.stride[0]) == strides


def test_dilation_is_on_every_block(meta):
    for name, blocks, dilation in (("layer1", 3, 1), ("layer2", 4, 1), ("layer3", 23, 2), ("layer4", 3, 4)):
        dilations = [block.conv2.dilation for block in getattr(meta.trunk, name)]
        assert dilations == [(dilation, dilation)] * blocks


def test_a_head_sums_its_dilated_branches():
    torch.manual_seed(0)
    head = DilatedHead(4, (6, 12))
    features = torch.randn(1, 4, 20, 30)
    wanted = torch.zeros(1, 19, 20, 30)
    for branch, dilation in zip(head.branches, (6, 12), strict=True):
        wanted += nn.functional.conv2d(features, branch.weight, branch.bias, 1, dilation, dilation)
    torch.testing.assert_close(head(features), wanted)


def test_head_weights_start_from_a_narrow_normal():
    torch.manual_seed(0)
    head = DilatedHead(1024, (6,))
    assert head.branches[0].weight.std().item() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(
    ("mode", "affine_trained", "statistics_move"),
    [("train_stats_frozen_affine", False, True), ("frozen", False, False), ("trainable", True, True)],
)
def test_batch_norm_modes(mode, affine_trained, statistics_move):
    segmenter = build(batch_norm=mode).eval().train()
    norm = segmenter.trunk.bn1
    assert norm.weight.requires_grad == norm.bias.requires_grad == affine_trained
    assert segmenter.training and segmenter.main_head.training
    before = norm.running_mean.clone()
    with torch.no_grad():
        segmenter(torch.full((2, 3, 33, 33), 200.0))
    assert torch.equal(before, norm.running_mean) != statistics_move
    trunk = 42_394_816 + (105_344 if affine_trained else 0)
    assert count(segmenter.trunk_parameters()) == trunk


def test_batch_norm_is_frozen_from_the_start():
    with torch.device("meta"):
        segmenter = build(batch_norm="frozen")
    assert segmenter.training and not segmenter.trunk.bn1.training


def test_frozen_batch_norm_survives_train_of_the_module_around_it():
    with torch.device("meta"):
        around = nn.Sequential(build(batch_norm="frozen"))
    around.eval()
    around.train()
    assert around[0].training and not around[0].trunk.bn1.training


def test_options_reach_the_network():
    with torch.device("meta"):
        segmenter = build(dilations=(6, 12), trunk_lr_multiplier=3.0, align_corners=False)
    assert count(segmenter.main_head.parameters()) == 700_454
    assert segmenter.trunk_lr_multiplier == 3.0
    corners = segmenter.upsample(torch.tensor([[[[0.0, 1.0]]]]), (1, 4))
    assert corners.flatten().tolist() == [0.0, 0.25, 0.75, 1.0]
