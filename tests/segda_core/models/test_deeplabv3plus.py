"""DeepLabV3+ against sizes and parameter counts worked out by hand."""

import pytest
import torch
from torch import nn

from segda_core.config import DeepLabV3PlusConfig
from segda_core.models.deeplabv3plus import DeepLabV3Plus


@pytest.fixture(scope="module")
def meta():
    with torch.device("meta"):
        return DeepLabV3Plus(DeepLabV3PlusConfig(name="deeplabv3plus_resnet101", weights="none"))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def separable(inputs, outputs):
    return 9 * inputs + 2 * inputs + inputs * outputs + 2 * outputs


def test_parameter_counts(meta):
    plain = 2048 * 256 + 2 * 256
    image = 2048 * 256 + 256
    project = 5 * 256 * 256 + 2 * 256
    assert count(meta.trunk) == 42_394_816 + 105_344
    assert count(meta.context) == plain + 3 * separable(2048, 256) + image + project
    assert count(meta.skip) == 256 * 48 + 2 * 48
    assert count(meta.decoder) == separable(304, 256) + separable(256, 256)
    assert count(meta.main_head) == 256 * 19 + 19


def test_deep_features_are_at_stride_sixteen_and_logits_at_stride_four(meta):
    images = torch.empty(2, 3, 1025, 2049, dtype=torch.uint8, device="meta")
    features = meta.trunk(meta.normalise(images))
    assert features.layer4.shape == (2, 2048, 65, 129)
    logits = meta(images)
    assert logits.main.shape == (2, 19, 257, 513)
    assert logits.aux is None and not meta.has_aux


def test_all_batch_norm_is_trained(meta):
    norms = [module for module in meta.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 104 + 8 + 1 + 4
    assert all(norm.training and norm.weight.requires_grad for norm in norms)
    assert sum(p.numel() for p in meta.trunk_parameters()) == count(meta.trunk)


def test_dilations_dropout_and_corners(meta):
    branches = meta.context[0].branches
    assert [branch[0].dilation[0] for branch in branches] == [1, 6, 12, 18]
    assert [branch[0].groups for branch in branches] == [1, 2048, 2048, 2048]
    assert isinstance(meta.context[1], nn.Dropout2d) and meta.context[1].p == 0.1
    assert meta.align_corners
